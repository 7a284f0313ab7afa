import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { ask, expectSound } from "./heard.ts";
import { LANGUAGES } from "./languages.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    trusting: true,
    config: `
sim:
  models:
    breaks: { length: 80, seed: 9, tokensPerSecond: 400, faults: [{ kind: cut, afterTokens: 40 }] }
    good: { length: 80, seed: 9, tokensPerSecond: 2000 }
models:
  shared: { targets: [sim/breaks, sim/good], continue: always, cache: { ttlSeconds: 60 } }
`,
  });
});
afterAll(() => gateway.close());

describe.each(LANGUAGES)("a $id stream that several identical calls share", (language) => {
  it("reaches each of them whole when it breaks, and is not kept", async () => {
    const { text } = await ask(gateway, language, "sim/good");
    const heard = await Promise.all(Array.from({ length: 5 }, () => ask(gateway, language, "shared")));
    for (const one of heard) {
      expect([one.ends, one.text]).toEqual([["done"], text]);
      expectSound(one, language);
    }
    const rows = (await gateway.rows()).slice(-5);
    expect(rows.every(({ state }) => state === "done")).toBe(true);
    expect(rows.filter(({ attempts }) => attempts[0]?.continues === undefined && attempts.length > 0)).toHaveLength(1);
    expect((await ask(gateway, language, "shared")).ends).toEqual(["done"]);
    expect((await gateway.lastRow()).cache).toBe("miss");
  });
});
