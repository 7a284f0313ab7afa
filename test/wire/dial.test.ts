import type { LookupAddress } from "node:dns";
import type { LookupFunction } from "node:net";
import { describe, expect, it } from "vitest";
import { isInside } from "../../src/wire/dial.ts";
import { ask, upstreamSaying } from "./raw.ts";

/** A resolver that gives these addresses, one list a call, the last one for ever. */
function resolving(...answers: string[][]): LookupFunction {
  let nth = 0;
  return (_name, options, callback) => {
    const list = answers[Math.min(nth++, answers.length - 1)] ?? [];
    const found: LookupAddress[] = list.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    if (options.all) callback(null, found);
    else callback(null, found[0]?.address ?? "", found[0]?.family);
  };
}

describe("addresses inside", () => {
  it.each([
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "not an address",
    "",
  ])("%s is refused", (address) => expect(isInside(address)).toBe(true));

  it.each(["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])(
    "%s is let through",
    (address) => expect(isInside(address)).toBe(false),
  );
});

describe("a provider that may not reach private addresses", () => {
  const REFUSED = { kind: "upstream_unavailable", code: "address_refused" };

  it.each(["127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0"])(
    "cannot be given as http://%s",
    async (host) => {
      const told = await ask(0, { baseUrl: `http://${host}:9/v1`, allowPrivateNetwork: false });
      expect(told.problem).toMatchObject(REFUSED);
      expect(told.problem?.message).toContain("allowPrivateNetwork");
    },
  );

  it("is not dialled when its name leads inside, even if it led outside a moment ago", async () => {
    let connected = 0;
    const upstream = await upstreamSaying(() => connected++);
    const lookup = resolving(["127.0.0.1"]);
    const told = await ask(0, { baseUrl: `http://rebinding.example:${upstream.port}`, allowPrivateNetwork: false, lookup });
    expect(told.problem).toMatchObject(REFUSED);
    expect(connected).toBe(0);
    await upstream.close();
  });

  it("is dialled only at the outside addresses among those of its name", async () => {
    const dialled: string[] = [];
    const { guardedLookup } = await import("../../src/wire/dial.ts");
    for (const all of [true, false]) {
      guardedLookup(resolving(["127.0.0.1", "1.1.1.1", "::1"]))("mixed.example", { all }, (error, found) => {
        expect(error).toBeNull();
        dialled.push(...(typeof found === "string" ? [found] : found.map((entry) => entry.address)));
      });
    }
    expect(dialled).toEqual(["1.1.1.1", "1.1.1.1"]);
  });
});
