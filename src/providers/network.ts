import { BlockList, isIP } from "node:net";
import { ProblemError, Secret } from "../canon/index.ts";
import type { ClientOptions, ProxyAddress } from "../wire/types.ts";
import type { Environment } from "./address.ts";
import { isLoopbackHost } from "./loopback.ts";
import type { ProviderOptions } from "./options.ts";

type NetworkOptions = Pick<ProviderOptions, "proxy" | "tls">;

/**
 * How a provider at `baseUrl` is reached beside its address: its proxy, and what handshakes go by.
 * @throws ProblemError invalid_request, with what to write
 */
export function networkOf(name: string, options: NetworkOptions, baseUrl: string, env: Environment): Pick<ClientOptions, "proxy" | "tls"> {
  const proxy = proxyOf(name, options.proxy?.reveal(), new URL(baseUrl), env);
  return { ...(proxy && { proxy }), ...(options.tls && { tls: definedIn(options.tls) }) };
}

function definedIn(tls: NonNullable<NetworkOptions["tls"]>): NonNullable<ClientOptions["tls"]> {
  const { ca, cert, key, passphrase, servername } = tls;
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(passphrase !== undefined && { passphrase }),
    ...(servername !== undefined && { servername }),
  };
}

function proxyOf(name: string, written: string | undefined, upstream: URL, env: Environment): ProxyAddress | undefined {
  if (written === undefined) return undefined;
  if (written !== "environment") return addressIn(name, "proxy", written);
  const scheme = upstream.protocol === "https:" ? "https_proxy" : "http_proxy";
  for (const variable of [scheme, scheme.toUpperCase(), "all_proxy", "ALL_PROXY"]) {
    const value = env[variable];
    if (!value) continue;
    if (isLoopbackHost(upstream.hostname) || isExcepted(upstream, env["no_proxy"] || env["NO_PROXY"] || "")) return undefined;
    // `host:port` alone is customary there.
    return addressIn(name, variable, /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`);
  }
  return undefined;
}

function addressIn(name: string, where: string, text: string): ProxyAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:") || url.hostname === "") {
    // The text may hold a password: it is not repeated.
    const message = `The provider "${name}" has a proxy (${where}) that is neither http://host:port nor https://host:port.`;
    throw new ProblemError({ kind: "invalid_request", message, param: `providers.${name}.proxy` });
  }
  const { username, password, origin } = url;
  if (username === "" && password === "") return { url: origin };
  const credentials = `${decoded(username)}:${decoded(password)}`;
  return { url: origin, authorization: new Secret(`Basic ${Buffer.from(credentials).toString("base64")}`) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Does a `NO_PROXY` list except this upstream? Its entries, as the common tools read them: `*`; a domain, with all below it; an address;
 * a range of addresses; each with or without a port.
 */
export function isExcepted(upstream: URL, list: string): boolean {
  const host = upstream.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = upstream.port || (upstream.protocol === "https:" ? "443" : "80");
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => entry === "*" || fits(entry, host, port));
}

function fits(entry: string, host: string, port: string): boolean {
  const [, bracketed, bare, entryPort] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
  const name = bracketed ?? bare ?? entry;
  if (entryPort !== undefined && entryPort !== port) return false;
  if (isIP(host) !== 0) return name.includes("/") ? isWithin(host, name) : isIP(name) !== 0 && isWithin(host, name);
  const domain = name.replace(/^\*?\./, "");
  return domain !== "" && (host === domain || host.endsWith(`.${domain}`));
}

function isWithin(host: string, range: string): boolean {
  const [address = "", bits] = range.split("/");
  const family = isIP(address) === 4 ? "ipv4" : "ipv6";
  const most = family === "ipv4" ? 32 : 128;
  if (isIP(address) === 0 || (bits !== undefined && !(Number(bits) >= 0 && Number(bits) <= most))) return false;
  const block = new BlockList();
  block.addSubnet(address, bits === undefined ? most : Number(bits), family);
  return block.check(host, isIP(host) === 4 ? "ipv4" : "ipv6");
}
