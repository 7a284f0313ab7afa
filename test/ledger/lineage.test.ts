import { describe, expect, it } from "vitest";
import type { Call, JsonObject, LineageRecord } from "../../src/canon/index.ts";
import { lineageOf, linksOf, promptHash, textHash } from "../../src/ledger/lineage/record.ts";
import { influencedBy, influencedByHash, sourcesOf } from "../../src/ledger/lineage/trace.ts";
import { memoryLineage } from "../../src/stores/lineage.ts";

const everybody = { steps: 16, mayShow: () => true };

function call(change: Partial<Call> = {}): Call {
  return {
    operation: "generate",
    origin: { dialect: "one" },
    model: "fast",
    stream: false,
    items: [{ type: "message", role: "user", parts: [{ type: "text", text: "hello" }] }],
    tools: [],
    sampling: {},
    native: {},
    touched: new Set(),
    ...change,
  };
}

/** A record that was given and made what it is told. */
function record(callId: string, at: number, given: readonly string[], made?: string): LineageRecord {
  const documents = given.map((text) => ({ kind: "user" as const, hash: textHash(text) }));
  return {
    callId,
    callerId: "k",
    at,
    prompt: textHash(callId),
    tools: [],
    calls: [],
    documents,
    ...(made !== undefined && { output: textHash(made) }),
  };
}
async function kept(...records: readonly LineageRecord[]): Promise<ReturnType<typeof memoryLineage>> {
  const store = memoryLineage();
  for (const one of records) await store.keep(one, linksOf(one));
  return store;
}

describe("a prompt's hash", () => {
  it("is that of what is said, whatever language it came in and wherever it goes", () => {
    const base = promptHash(call());
    const [item] = call().items;
    if (item?.type !== "message") throw new Error("no message");
    const elsewhere = call({
      origin: { dialect: "two" },
      model: "slow",
      stream: true,
      native: { user: "x" },
      items: [{ ...item, id: "msg_1", raw: { role: "user" }, envelope: { dialect: "two", role: "user", raw: {} }, cacheTtlSeconds: 300 }],
    });
    expect(promptHash(elsewhere)).toBe(base);
    for (const change of [
      { items: [{ ...item, role: "system" as const }] },
      { sampling: { temperature: 0 } },
      { tools: [{ type: "function" as const, name: "f", schema: { properties: { id: {}, raw: {} } } }] },
      { maxOutputTokens: 3 },
    ])
      expect(promptHash(call(change))).not.toBe(base);
    const tool = (schema: JsonObject): string => promptHash(call({ tools: [{ type: "function", name: "f", schema }] }));
    // A tool's own parameter may be called as what is silent elsewhere.
    expect(tool({ properties: { id: {} } })).not.toBe(tool({ properties: {} }));
    expect(promptHash(call({ items: [{ type: "unknown", kind: "x", role: "user", raw: { a: 1 } }] }))).not.toBe(
      promptHash(call({ items: [{ type: "unknown", kind: "x", role: "user", raw: { a: 2 } }] })),
    );
  });
});

describe("a record", () => {
  it("lists the newest of what the model was given, and says that there was more", () => {
    const items = Array.from({ length: 200 }, (_, number) => ({
      type: "message" as const,
      role: "user" as const,
      parts: [{ type: "text" as const, text: `text ${number}` }],
    }));
    const made = lineageOf({ callId: "c", callerId: "k", at: 1 }, call({ items }), undefined);
    expect(made.documents).toHaveLength(128);
    expect(made.documents.at(-1)?.hash).toBe(textHash("text 199"));
    expect(made.cut).toBe(true);
    expect(made.output).toBeUndefined();
  });
});

describe("a trace", () => {
  it("follows texts back and forth, step by step, and never in circles", async () => {
    const [one, two, three] = [record("c1", 1, ["x"], "a"), record("c2", 2, ["a"], "b"), record("c3", 3, ["b", "a"], "a")];
    const store = await kept(one, two, three);
    const back = await sourcesOf(store, three, everybody);
    expect(back.calls.map(({ call: id, steps }) => [id, steps])).toEqual([
      ["c2", 1],
      ["c1", 1],
    ]);
    const on = await influencedBy(store, one, everybody);
    expect(on.calls.map(({ call: id, steps }) => [id, steps])).toEqual([
      ["c3", 1],
      ["c2", 1],
    ]);
    expect((await influencedBy(store, one, { ...everybody, steps: 0 })).calls).toEqual([]);
    expect((await influencedByHash(store, textHash("x"), everybody)).calls.map(({ call: id }) => id)).toEqual(["c1", "c3", "c2"]);
  });

  it("passes nobody's calls but those that may be seen, and nothing that came later back", async () => {
    const mine = { ...everybody, mayShow: ({ callerId }: LineageRecord) => callerId === "k" };
    const [one, other, three] = [record("c1", 1, [], "a"), { ...record("c2", 2, ["a"], "b"), callerId: "z" }, record("c3", 3, ["b"], "c")];
    const store = await kept(one, other, three);
    expect((await influencedBy(store, one, mine)).calls).toEqual([]);
    expect((await sourcesOf(store, three, mine)).calls).toEqual([]);
    const later = record("c9", 9, [], "a");
    await store.keep(later, linksOf(later));
    expect((await sourcesOf(store, other, everybody)).calls.map(({ call: id }) => id)).toEqual(["c1"]);
  });

  it("says that there is more than it lists", async () => {
    const store = await kept(
      record("c0", 0, [], "a"),
      ...Array.from({ length: 700 }, (_, number) => record(`d${number}`, 1 + number, ["a"], "b")),
    );
    const start = await store.read("c0");
    if (!start) throw new Error("no record");
    const { calls, complete } = await influencedBy(store, start, everybody);
    expect(calls).toHaveLength(100);
    expect(complete).toBe(false);
  });
});
