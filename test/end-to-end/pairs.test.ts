import { describe, expect, it } from "vitest";
import {
  amend,
  FlatNames,
  offeredTools,
  ProblemError,
  textOf,
  type Answer,
  type Call,
  type Dialect,
  type Item,
  type Json,
  type JsonObject,
} from "../../src/canon/index.ts";
import { CAPABLE } from "../../scripts/generate/loss-table.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { everyRecordedCall, type RecordedAnywhere } from "./recorded-elsewhere.ts";

/** Goes on with one text: a conversation is told as that, and is none any more when it is read back. */
const ONE_TEXT = "openai-completions";
const all = [...dialects.values()].filter(({ id }) => id !== ONE_TEXT);
const pairs = all.flatMap((from) =>
  all.filter((to) => to !== from).map((to) => ({ from, to, title: `${from.id} -> ${to.id} -> ${from.id}` })),
);
const calls = everyRecordedCall();
/** What languages have no figure for; it is told as none, never made up. */
const UNCOUNTED: Readonly<Record<string, Partial<ReturnType<typeof tokens>>>> = {
  // Counts what was read and what was written, and nothing within (`prompt_eval_count`, `eval_count`).
  "ollama-chat": { cached: 0, thought: 0 },
  // `TokenUsage` has input, output, total and the cache; thoughts are in the output.
  "bedrock-converse": { thought: 0 },
  // `UsageTokens` and `UsageBilledUnits` have input and output; thoughts are in the output.
  "cohere-chat": { thought: 0 },
};
const context = (call: RecordedAnywhere) => ({
  operation: "generate" as const,
  headers: { "anthropic-version": "2023-06-01", ...call.headers },
  params: { model: "m" },
});
const plainContext = { operation: "generate" as const, headers: { "anthropic-version": "2023-06-01" }, params: { model: "m" } };

/** The call as it is after it was said in a language and read again. */
function through(call: Call, dialect: Dialect): Call {
  const request = dialect.encodeCall(call, { provider: "elsewhere", model: "m", capabilities: CAPABLE }, () => {});
  return dialect.decodeCall(JSON.parse(request.body) as JsonObject, plainContext);
}

/** Undefined for a call that shows something by its id in a provider's file store and nothing else in that place: it is refused. */
function thereAndBack(call: Call, to: Dialect, from: Dialect): readonly Call[] | undefined {
  try {
    const there = through(call, to);
    return [there, through(there, from)];
  } catch (error) {
    if (error instanceof ProblemError && error.problem.code === "content_unsupported") return undefined;
    throw error;
  }
}

/** Recorded calls of one language that are refused so: documents, for a language that takes none. */
const MOST_REFUSED = 6;
/** Recordings of a language that there are at least. */
const MANY = 20;
const FEW: Readonly<Record<string, number>> = { "cohere-chat": 9 };

interface Essence {
  /** Every piece of text that a person or program wrote, in order. */
  readonly asked: readonly string[];
  readonly answered: string;
  readonly toolCalls: readonly string[];
  readonly toolResults: readonly string[];
}

function essence(items: readonly Item[], names: FlatNames, instructions: readonly { readonly text: string }[] = []): Essence {
  const asked = instructions.map((part) => bare(part.text));
  const toolCalls: string[] = [];
  const toolResults: string[] = [];
  let answered = "";
  for (const item of items) {
    if (item.type === "message" && item.role === "assistant") answered += textOf(item.parts);
    else if (item.type === "message") asked.push(...item.parts.map((part) => bare(textOf([part]))).filter((text) => text !== ""));
    if (item.type === "tool_call") toolCalls.push(`${item.callId} ${lastName(names.of(item.namespace, item.name))} ${inputOf(item.input)}`);
    if (item.type === "tool_result") toolResults.push(`${item.callId} ${bare(textOf(item.parts))}`);
  }
  return { asked, answered: bare(answered), toolCalls, toolResults };
}

/** A provider puts a namespace of its own around tools that it found by itself; its caller knows the bare name. */
function lastName(flatName: string): string {
  return flatName.split("__").at(-1) ?? flatName;
}

/**
 * Languages group messages differently, and some want words of their own added (a first user's turn, "answer in JSON"). No word that was
 * said may be missing; calls, ids and results must not change.
 */
function expectKept(kept: Essence, original: Essence, name: string): void {
  const said = kept.asked.join("");
  expect
    .soft(
      original.asked.filter((text) => !said.includes(text)),
      name,
    )
    .toEqual([]);
  expect.soft(kept.answered, name).toBe(original.answered);
  expect.soft(kept.toolCalls, name).toEqual(original.toolCalls);
  expect.soft(kept.toolResults, name).toEqual(original.toolResults);
}

const bare = (text: string): string => text.replaceAll(/\s+/g, "");

/** Arguments as a value: languages that carry them as objects write them anew. Free text stays what it is. */
function inputOf(input: string): string {
  try {
    const value = JSON.parse(input === "" ? "{}" : input) as Json;
    return JSON.stringify(isWrapped(value) ? value.input : value);
  } catch {
    return JSON.stringify(input);
  }
}

/** Free text for a tool in a language that knows only functions. */
function isWrapped(value: Json): value is { input: string } {
  const fields = Object.entries(value ?? {});
  return fields.length === 1 && fields[0]?.[0] === "input" && typeof fields[0][1] === "string";
}

function essenceOf(call: Call): Essence {
  return essence(call.items, new FlatNames(offeredTools(call)), call.instructions?.parts);
}

describe.skipIf(calls.length === 0).each(pairs.filter(({ from }) => calls.some((call) => call.dialect === from.id)))(
  "recorded calls $title",
  ({ from, to }) => {
    const mine = calls.filter((call) => call.dialect === from.id);

    it("keep words, tool calls, ids and results", () => {
      let checked = 0;
      let refused = 0;
      for (const recorded of mine) {
        if (recorded.body["conversation"] !== undefined) continue;
        const call = from.decodeCall(recorded.body as JsonObject, context(recorded));
        if (call.previousId !== undefined || call.items.some(isForeignAlone)) continue;
        const ways = thereAndBack(amend(call, { model: "m" }), to, from);
        if (!ways) refused++;
        for (const translated of ways ?? []) expectKept(essenceOf(translated), essenceOf(call), recorded.name);
        checked++;
      }
      expect(checked).toBeGreaterThan(FEW[from.id] ?? MANY);
      expect(refused).toBeLessThanOrEqual(MOST_REFUSED);
    });

    it("keep the answers' words, tool calls, ids and usage", () => {
      let checked = 0;
      for (const recorded of mine) {
        if (recorded.stream || recorded.status !== 200 || !/"usage":\s*\{/.test(recorded.answer)) continue;
        if (recorded.body["conversation"] !== undefined) continue;
        const asked = from.decodeCall(recorded.body as JsonObject, context(recorded));
        const answer = from.decodeAnswer(JSON.parse(recorded.answer) as Json, { operation: "generate", provider: "origin" });
        if (answer.items.some(isForeignAlone)) continue;
        const there = to.decodeAnswer(to.encodeAnswer(answer, { call: asked, createdAt: 1 }), {
          operation: "generate",
          provider: "elsewhere",
        });
        const back = from.decodeAnswer(from.encodeAnswer(there, { call: asked, createdAt: 1 }), {
          operation: "generate",
          provider: "elsewhere",
        });
        const names = new FlatNames(offeredTools(asked));
        for (const { items } of [there, back]) expectKept(essence(items, names), essence(answer.items, names), recorded.name);
        expect.soft(tokens(back), recorded.name).toEqual({ ...tokens(answer), ...UNCOUNTED[to.id] });
        checked++;
      }
      expect(checked).toBeGreaterThan(FEW[from.id] ?? MANY);
    });
  },
);

describe.skipIf(calls.length === 0)("recorded calls for a model that goes on with one text", () => {
  const to = dialects.get(ONE_TEXT);
  const mine = calls.filter(({ body }) => body["conversation"] === undefined);

  it("hold every word that was said, or are refused for their tools and pictures", () => {
    const fates = { told: 0, refused: 0 };
    for (const recorded of mine) {
      const call = dialects.get(recorded.dialect)?.decodeCall(recorded.body as JsonObject, context(recorded));
      if (!call || !to || call.previousId !== undefined) continue;
      try {
        const { body } = to.encodeCall(amend(call, { model: "m" }), { provider: "elsewhere", model: "m", capabilities: CAPABLE }, () => {});
        const prompt = bare((JSON.parse(body) as { prompt: string }).prompt);
        const { asked, answered } = essenceOf(call);
        expect
          .soft(
            asked.filter((text) => !prompt.includes(text)),
            recorded.name,
          )
          .toEqual([]);
        if (call.items.filter(({ type }) => type === "message").length < 3) expect.soft(prompt, recorded.name).toContain(answered);
        fates.told++;
      } catch (error) {
        if (!(error instanceof ProblemError)) throw error;
        expect(error.problem, recorded.name).toMatchObject({ kind: "unsupported" });
        fates.refused++;
      }
    }
    expect(fates.told).toBeGreaterThan(20);
    expect(fates.refused).toBeGreaterThan(20);
  });

  it("keep the answers' words and usage", () => {
    let checked = 0;
    for (const recorded of mine) {
      if (recorded.stream || recorded.status !== 200 || !/"usage":\s*\{/.test(recorded.answer)) continue;
      const from = dialects.get(recorded.dialect);
      if (!from || !to) continue;
      const call = from.decodeCall(recorded.body as JsonObject, context(recorded));
      const answer = from.decodeAnswer(JSON.parse(recorded.answer) as Json, { operation: "generate", provider: "origin" });
      const there = to.decodeAnswer(to.encodeAnswer(answer, { call, createdAt: 1 }), { operation: "generate", provider: "elsewhere" });
      const words = (items: readonly Item[]): string => items.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join("");
      expect.soft(words(there.items), recorded.name).toBe(words(answer.items));
      expect.soft(tokens(there), recorded.name).toEqual(tokens(answer));
      checked++;
    }
    expect(checked).toBeGreaterThan(20);
  });
});

/** Items that only their own language has; what they hold is the loss table's business. */
function isForeignAlone(item: Item): boolean {
  return item.type === "unknown" || item.type === "compaction";
}

/** All that every language can say of usage: everything read, what of it was cached, everything written, what of it was thought. */
function tokens({ usage }: Answer): Readonly<Record<"read" | "cached" | "written" | "thought", number>> {
  return {
    read: usage.inputUncached + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h,
    cached: usage.cacheRead,
    written: usage.output,
    thought: usage.reasoning,
  };
}
