import { describe, expect, it } from "vitest";
import { peerReader } from "../../src/wire/peer.ts";

const read = peerReader(["10.0.0.0/8", "192.168.1.1", "fd00::/8"]);

describe("who is asking", () => {
  it.each([
    ["nobody in between", "203.0.113.9", {}, "203.0.113.9"],
    ["a claim that no proxy made", "203.0.113.9", { "x-forwarded-for": "1.2.3.4" }, "203.0.113.9"],
    ["one proxy", "10.0.0.1", { "x-forwarded-for": "1.2.3.4" }, "1.2.3.4"],
    ["two proxies, and a claim before them", "10.0.0.1", { "x-forwarded-for": "9.9.9.9, 1.2.3.4, 10.0.0.2" }, "1.2.3.4"],
    ["only proxies", "10.0.0.1", { "x-forwarded-for": "10.0.0.3" }, "10.0.0.1"],
    ["nonsense", "10.0.0.1", { "x-forwarded-for": "unknown" }, "10.0.0.1"],
    ["an address with its port", "10.0.0.1", { "x-forwarded-for": "1.2.3.4:5678" }, "1.2.3.4"],
    ["IPv6", "fd00::1", { "x-forwarded-for": "[2a00::7]:443" }, "2a00::7"],
    ["the standard header", "10.0.0.1", { forwarded: 'for=9.9.9.9, For="[2a00::7]:4711";proto=https;by=10.0.0.1' }, "2a00::7"],
    ["the standard header hidden", "10.0.0.1", { forwarded: "for=_hidden" }, "10.0.0.1"],
    ["both headers that agree", "10.0.0.1", { forwarded: "for=1.2.3.4", "x-forwarded-for": "1.2.3.4" }, "1.2.3.4"],
    ["one header of the proxy and one of its client", "10.0.0.1", { forwarded: "for=1.2.3.4", "x-forwarded-for": "127.0.0.1" }, "10.0.0.1"],
  ])("%s", (_what, peer, headers, expected) => {
    expect(read(peer, headers)).toBe(expected);
  });
});
