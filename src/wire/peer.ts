import { BlockList, isIP } from "node:net";
import type { Headers } from "../canon/index.ts";
import { addRanges } from "./dial.ts";

export type PeerReader = (peer: string, headers: Headers) => string;

/** Tells a request's real sender: the socket's peer, or, where that is a trusted proxy, whom the proxy names. */
export function peerReader(trusted: readonly string[] | undefined): PeerReader {
  if (!trusted || trusted.length === 0) return (peer) => peer;
  const proxies = new BlockList();
  addRanges(proxies, trusted);
  const isProxy = (address: string): boolean => {
    const family = isIP(address);
    return family !== 0 && proxies.check(address, family === 4 ? "ipv4" : "ipv6");
  };
  // Each proxy appends whom it saw; what stands left of the first untrusted address is anybody's claim.
  const senderAmong = (hops: readonly string[] | undefined): string | undefined => hops?.findLast((hop) => !isProxy(hop));
  return (peer, headers) => {
    const listed = headers["x-forwarded-for"];
    const forwarded = headers["forwarded"];
    if ((listed === undefined && forwarded === undefined) || !isProxy(peer)) return peer;
    const sender = senderAmong(listed?.split(",").map(bareAddress));
    const told = senderAmong(forwarded === undefined ? undefined : forwardedHops(forwarded));
    // A proxy writes one of the two; the other then came from the client as it liked.
    if (listed !== undefined && forwarded !== undefined && sender !== told) return peer;
    const named = sender ?? told;
    return named !== undefined && isIP(named) !== 0 ? named : peer;
  };
}

/** The `for` of each element, in order; RFC 7239, section 4. One that cannot be read stands for nobody. */
function forwardedHops(value: string): string[] {
  return value.split(",").map((element) => {
    const node = /(?:^|;)\s*for=("?)([^";]*)\1\s*(?:;|$)/i.exec(element)?.[2];
    return node === undefined ? "" : bareAddress(node);
  });
}

/** Without port and brackets. */
function bareAddress(text: string): string {
  const node = text.trim();
  const [, bracketed, v4] = /^(?:\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/.exec(node) ?? [];
  return bracketed ?? v4 ?? node;
}
