import { lookup as systemLookup } from "node:dns";
import type { LookupAddress, LookupOptions } from "node:dns";
import { BlockList, isIP, isIPv4 } from "node:net";
import type { LookupFunction } from "node:net";

/** The error code by which a refused address is told from one that cannot be reached. */
export const ADDRESS_REFUSED = "ERR_ADDRESS_REFUSED";

/** Addresses that lead inside: source IANA's special-purpose registries for IPv4 and IPv6. Metadata services live in 169.254/16 and fd00::/8. */
const INSIDE_V4 = [
  "0.0.0.0/8", // "this network": Linux dials itself
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
];
const INSIDE_V6 = [
  "::/128",
  "::1/128",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/32", // Teredo and
  "2002::/16", // 6to4 carry an IPv4 address inside and are long retired: nobody needs them to reach a model
  "2001:db8::/32",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
];

const inside = new BlockList();
addRanges(inside, [...INSIDE_V4, ...INSIDE_V6]);
/** RFC 6052: the last 32 bits are the IPv4 address that a translator dials. */
const translated = new BlockList();
translated.addSubnet("64:ff9b::", 96, "ipv6");

/** Adds `address/bits` or single addresses to a list; throws on what is neither. */
export function addRanges(list: BlockList, ranges: readonly string[]): void {
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    const family = isIPv4(address) ? "ipv4" : "ipv6";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
}

/** Does this IP address lead to this machine, its network or a metadata service? What is not an address counts as inside. */
export function isInside(address: string): boolean {
  const bare = address.split("%", 1)[0] ?? "";
  const family = isIP(bare);
  if (family === 0) return true;
  if (family === 4) return inside.check(bare, "ipv4");
  if (translated.check(bare, "ipv6")) return isInside(lastFourBytes(bare));
  // BlockList reads ::ffff:a.b.c.d as the IPv4 address it is.
  return inside.check(bare, "ipv6");
}

/** The IPv4 address in the last 32 bits of an IPv6 address. */
function lastFourBytes(address: string): string {
  const tail = address.slice(address.lastIndexOf(":") + 1);
  if (isIPv4(tail)) return tail;
  const groups = address.split("::").at(-1)?.split(":") ?? [];
  const low = Number.parseInt(groups.at(-1) || "0", 16);
  const high = Number.parseInt(groups.at(-2) || "0", 16);
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

export class AddressRefused extends Error {
  readonly code = ADDRESS_REFUSED;
}

/**
 * Resolves names for the one connection that is about to be dialled and lets only outside addresses through. Because the addresses
 * checked are the very ones dialled, a name that changes its mind between check and use (DNS rebinding) gains nothing.
 */
export function guardedLookup(resolve: LookupFunction = systemLookup): LookupFunction {
  return (hostname: string, options: LookupOptions, callback: LookupCallback) => {
    resolve(hostname, { ...options, all: true }, (error, found, family) => {
      if (error) return callback(error, []);
      const addresses = typeof found === "string" ? [{ address: found, family: family ?? 4 }] : found;
      const allowed = addresses.filter((entry) => !isInside(entry.address));
      const first = allowed[0];
      if (!first) return callback(new AddressRefused("the name leads to a private address"), []);
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

type LookupCallback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;
