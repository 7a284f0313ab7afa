import { BlockList, isIP } from "node:net";
import { addRanges } from "./dial.ts";

/** Tells a request's real sender: the socket's peer, or, where that is a trusted proxy, whom the proxy names. */
export function peerReader(trusted: readonly string[] | undefined): (peer: string, forwardedFor: string | undefined) => string {
  if (!trusted || trusted.length === 0) return (peer) => peer;
  const proxies = new BlockList();
  addRanges(proxies, trusted);
  const isProxy = (address: string): boolean => {
    const family = isIP(address);
    return family !== 0 && proxies.check(address, family === 4 ? "ipv4" : "ipv6");
  };
  return (peer, forwardedFor) => {
    if (forwardedFor === undefined || !isProxy(peer)) return peer;
    // Each proxy appends whom it saw; what stands left of the first untrusted address is anybody's claim.
    const hops = forwardedFor.split(",").map((hop) => hop.trim());
    const sender = hops.findLast((hop) => !isProxy(hop));
    return sender !== undefined && isIP(sender) !== 0 ? sender : peer;
  };
}
