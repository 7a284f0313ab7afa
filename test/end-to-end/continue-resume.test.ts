import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatFrame, SeededRandomness } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { ask, expectSound } from "./heard.ts";
import { LANGUAGES } from "./languages.ts";
import { framesOf } from "./resume-process.ts";

/** So little memory that what was said is only in the journal when a stream breaks. */
const JOURNAL_BYTES = 4000;
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    trusting: true,
    config: `
serve: { limits: { journalBytes: ${JOURNAL_BYTES}, betweenDataMs: 150 } }
sim:
  models:
    breaks: { length: 300, seed: 9, tokensPerSecond: 3000, faults: [{ kind: cut, afterTokens: 60 }] }
    stalls: { length: 300, seed: 9, tokensPerSecond: 3000, faults: [{ kind: stall, afterTokens: 60 }] }
    good: { length: 300, seed: 9, tokensPerSecond: 3000 }
models:
  twice: { targets: [sim/breaks, sim/stalls, sim/good], continue: always, maxContinuations: 5 }
`,
  });
});
afterAll(() => gateway.close());

describe.each(LANGUAGES)("a $id stream that was continued", (language) => {
  it("is numbered on, also when its beginning has left the memory, and is read again byte for byte", async () => {
    const { text } = await ask(gateway, language, "sim/good");
    const heard = await ask(gateway, language, "twice");
    expect([heard.ends, heard.text]).toEqual([["done"], text]);
    expectSound(heard, language);
    const row = await gateway.lastRow();
    expect(row.attempts.filter(({ continues }) => continues).length).toBeGreaterThanOrEqual(2);
    await gateway.house.gateway.spilling.flush();
    const all = heard.frames.map(({ event, data }) => formatFrame(event, data));
    expect(Buffer.byteLength(all.join(""))).toBeGreaterThan(4 * JOURNAL_BYTES);
    const random = new SeededRandomness(3);
    for (let turn = 0; turn < 10; turn++) {
      const after = Math.floor(random.number() * all.length);
      const response = await fetch(`${gateway.url}/v1/calls/${row.callId}/events?after=${after}`);
      const { frames, ids } = framesOf(await response.text());
      expect(frames.map((frame) => `${frame}\n\n`)).toEqual(all.slice(after));
      expect(ids[0]).toBe(after + 1);
    }
  });
});
