import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { ask, expectSound, toolsOf, type Heard } from "./heard.ts";
import { LANGUAGES } from "./languages.ts";

const TOKENS = 60;
const CUT = "{ kind: cut, share: SHARE }";
const FAULTY = (more: string, faults: string): string => `{ length: ${TOKENS}, seed: 7, ${more} faults: [${faults}] }`;
const CALLING = 'tools: true, script: [{ text: "I will look that up for you, one moment please.", toolCalls: [] }, {}],';
const HEALTHY = `{ length: ${TOKENS}, seed: 7 }`;

/** The simulator's words are made from the seed alone: every model here would say the same. */
const CONFIG = `
retry: { firstBackoffMs: 1, budget: { share: 10, perSecond: 1000 } }
sim:
  models:
    good: ${HEALTHY}
    cutter: ${FAULTY("", CUT.replace("SHARE", "0.2"))}
    breaks: ${FAULTY("", CUT.replace("SHARE", "1"))}
    garbles: ${FAULTY("", "{ kind: garble, share: 1 }")}
    stalls: ${FAULTY("", "{ kind: stall, share: 1 }")}
    told: ${FAULTY("capabilities: { prefill: false },", CUT.replace("SHARE", "0.5"))}
    toldgood: { length: ${TOKENS}, seed: 7, capabilities: { prefill: false } }
    thinks: ${FAULTY('reasoning: "Let me think about this for a good long while before I say a word.",', "{ kind: cut, share: 1, afterTokens: 6 }")}
    thinksgood: { length: ${TOKENS}, seed: 7, reasoning: "Let me think about this for a good long while before I say a word." }
    calls: { ${CALLING} faults: [{ kind: cut, share: 0.6 }], seed: 3 }
    callsgood: { ${CALLING} seed: 3 }
    json: { text: '{"answer":"the quick brown fox jumps over the lazy dog","count":42,"list":[1,2,3,4,5]}', faults: [{ kind: cut, share: 1 }] }
    jsongood: { text: '{"answer":"the quick brown fox jumps over the lazy dog","count":42,"list":[1,2,3,4,5]}', capabilities: { prefill: false } }
    other: { text: "Something else altogether, and it is longer than what was begun before it broke, by far, so that nobody can mistake it." }
models:
  mixed: { targets: [sim/cutter, sim/good], continue: always, retries: 2 }
  broken: { targets: [sim/breaks, sim/good], continue: always, maxContinuations: 3 }
  own: { targets: [sim/told, sim/toldgood], continue: always }
  garbled: { targets: [sim/garbles, sim/good], continue: always }
  stalled: { targets: [sim/stalls, sim/good], continue: always, timeouts: { betweenMs: 30, firstOutputMs: 200 } }
  hopeless: { targets: [sim/breaks], continue: same-model, maxContinuations: 2 }
  never: { targets: [sim/breaks, sim/good], continue: never }
  samemodel: { targets: [sim/breaks, sim/good], continue: same-model, maxContinuations: 1 }
  thinking: { targets: [sim/thinks, sim/thinksgood], continue: always }
  calling: { targets: [sim/calls, sim/callsgood], continue: always, maxContinuations: 5 }
  json: { targets: [sim/json, sim/jsongood], continue: always }
  badjson: { targets: [sim/json, sim/other], continue: always, maxContinuations: 1 }
`;

let gateway: TestGateway;
/** In front of the same gateway: every client's language meets another one at its provider. */
let crossing: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: CONFIG, trusting: true });
  crossing = await startGateway({ config: CONFIG, trusting: true, guards: [{ id: "reads", readsContent: true }] });
});
afterAll(async () => {
  await gateway.close();
  await crossing.close();
});

const PATHS = [
  ["forwarded", () => gateway],
  ["decoded", () => crossing],
] as const;

describe.each(LANGUAGES)("a $id stream", (language) => {
  describe.each(PATHS)("%s", (path, at) => {
    it("that breaks in one of five calls reaches every client whole", async () => {
      const { text } = await ask(at(), language, "sim/good");
      const heard: Heard[] = [];
      for (let call = 0; call < 60; call++) heard.push(await ask(at(), language, "mixed"));
      for (const one of heard) {
        expect(one.ends).toEqual(["done"]);
        expect(one.text).toBe(text);
        expectSound(one, language);
      }
      const rows = (await at().rows()).slice(-60);
      expect(rows.every((row) => row.state === "done")).toBe(true);
      const continued = rows.filter((row) => row.attempts.some(({ continues }) => continues));
      expect(continued.length).toBeGreaterThan(3);
      expect(rows.filter((row) => row.attempts.length === 1).every((row) => row.fastPath === (path === "forwarded"))).toBe(true);
    });

    it.each(["broken", "garbled", "stalled"])("that is %s is gone on with by the next target", async (model) => {
      const { text } = await ask(at(), language, "sim/good");
      const asksUsage = language.id === "openai-chat" ? { stream_options: { include_usage: true } } : {};
      const heard = await ask(at(), language, model, asksUsage);
      expect([heard.ends, heard.text]).toEqual([["done"], text]);
      expectSound(heard, language);
      const row = await at().lastRow();
      expect(row.target).toBe("sim/good");
      expect([heard.answer.usage.inputUncached, heard.answer.usage.output]).toEqual([row.usage.inputUncached, row.usage.output]);
      expect(row.attempts.length).toBeGreaterThanOrEqual(2);
      expect(row.attempts.at(0)?.continues).toBeUndefined();
      expect(row.attempts.at(-1)).toMatchObject({ target: "sim/good", continues: true });
      const sum = row.attempts.reduce((tokens, { usage }) => tokens + (usage?.output ?? 0), 0);
      expect(row.usage.output).toBe(sum);
    });

    it("goes on by a further turn where the model takes no prefill", async () => {
      const { text } = await ask(at(), language, "sim/toldgood");
      for (let call = 0; call < 10; call++) {
        const heard = await ask(at(), language, "own");
        expect([heard.ends, heard.text]).toEqual([["done"], text]);
        expectSound(heard, language);
      }
    });

    it("cut in its reasoning is asked from its start", async () => {
      const reasoning =
        language.id === "anthropic-messages"
          ? { thinking: { type: "enabled", budget_tokens: 1024 } }
          : language.id === "openai-chat"
            ? { reasoning_effort: "high" }
            : { reasoning: { effort: "high", summary: "auto" } };
      const { text } = await ask(at(), language, "sim/thinksgood", reasoning);
      const heard = await ask(at(), language, "thinking", reasoning);
      expect([heard.ends, heard.text]).toEqual([["done"], text]);
      expectSound(heard, language);
    });

    it("that calls a tool never tells half a call, nor one twice", async () => {
      for (let call = 0; call < 20; call++) {
        const heard = await ask(at(), language, "calling", { tools: toolsOf(language) });
        expect(heard.ends).toEqual(["done"]);
        expect(heard.text).toBe("I will look that up for you, one moment please.");
        const calls = heard.answer.items.flatMap((item) => (item.type === "tool_call" ? [[item.name, item.input]] : []));
        expect(calls).toEqual([["look_up", '{"city":"city"}']]);
        expect(heard.answer.stop).toBe("tool_calls");
        expectSound(heard, language);
      }
      const rows = (await at().rows()).slice(-20);
      expect(rows.some((row) => row.attempts.length > 1)).toBe(true);
    });

    it("of JSON goes on with the rest of it, and is no answer when it is no JSON", async () => {
      const format = { type: "json_schema", schema: { type: "object" } };
      const json =
        language.id === "anthropic-messages"
          ? { output_config: { format } }
          : language.id === "openai-chat"
            ? { response_format: { type: "json_object" } }
            : { text: { format: { type: "json_object" } } };
      const heard = await ask(at(), language, "json", json);
      expect(heard.ends).toEqual(["done"]);
      expect(JSON.parse(heard.text)).toMatchObject({ count: 42 });
      const bad = await ask(at(), language, "badjson", json);
      expect(bad.ends).toEqual(["problem"]);
    });

    it.each([
      ["never", 1],
      ["hopeless", 3],
      ["samemodel", 2],
    ])("is not gone on with more often than is allowed (%s)", async (model, attempts) => {
      const heard = await ask(at(), language, model);
      expect(heard.ends).toEqual(["problem"]);
      const row = await at().lastRow();
      expect([row.state, row.problem, row.attempts.length]).toEqual(["failed", "upstream_broken", attempts]);
    });
  });
});
