import { afterEach, describe, expect, it } from "vitest";
import type { ContentPolicy, LineageRecord, PackedContent, PackedLineage } from "../../../src/canon/index.ts";
import { textHash } from "../../../src/ledger/lineage/record.ts";
import { ManualClock } from "../../../src/kit/index.ts";
import { ANSWER, Aside, WANTS, type AsideDeps, type Remnant } from "../../../src/ledger/aside/index.ts";

const ANSWER_MS = 5000;

interface World {
  readonly clock: ManualClock;
  readonly aside: Aside;
  readonly lineage: PackedLineage[];
  readonly content: PackedContent[];
  readonly reports: string[];
  readonly lines: string[];
}
const open: Aside[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((aside) => aside.close()));
});

function world(change: Partial<AsideDeps> = {}): World {
  const clock = new ManualClock(0);
  const [lineage, content, reports, lines]: [PackedLineage[], PackedContent[], string[], string[]] = [[], [], [], []];
  const aside = new Aside({
    clock,
    lineage: { keepPacked: async (packed) => void lineage.push(...(JSON.parse(packed) as PackedLineage[])) },
    content: { keep: async (packed) => void content.push(...(JSON.parse(packed) as PackedContent[])) },
    log: (line) => lines.push(line),
    report: (error, callId) => reports.push(`${callId}: ${String(error)}`),
    ...change,
  });
  open.push(aside);
  return { clock, aside, lineage, content, reports, lines };
}

const policy = (redact: ContentPolicy["redact"]): ContentPolicy => ({
  match: {},
  share: 1,
  what: ["prompt", "answer"],
  days: 1,
  redact,
  maxCharacters: 100_000,
});
const body = (text: string): string => JSON.stringify({ model: "fast", messages: [{ role: "user", content: text }] });
const frame = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const STREAM = `${frame({ role: "assistant", content: "wé" })}${frame({ content: "ll" })}${frame({}, "stop")}data: [DONE]\n\n`;

function remnant(
  callId: string,
  change: {
    readonly wants?: number;
    readonly text?: string;
    readonly answer?: string;
    readonly policy?: number;
    readonly dialect?: string;
  } = {},
): Remnant {
  const { wants = WANTS.lineage, text = body("hello"), answer = STREAM, dialect = "openai-chat" } = change;
  const form = answer === "" ? ANSWER.none : ANSWER.frames;
  const chosen = change.policy ?? 0;
  // Cut anywhere: frames are found again, whatever pieces they were in.
  const pieces = answer === "" ? [] : [Buffer.from(answer).subarray(0, 17), Buffer.from(answer).subarray(17)];
  return {
    text,
    answer: pieces,
    policy: chosen,
    head: [wants, callId, "key_1", 5, dialect, "generate", null, "body", form, "lab", "c", null, null, null, chosen, "text/event-stream"],
  };
}

describe("what is left of a call", () => {
  it("is read by a thread of its own, in batches, and kept", async () => {
    const { aside, lineage, content, reports } = world();
    const number = aside.numberOf(policy([{ name: "r", pattern: "hell", flags: "", with: "#" }]));
    for (let call = 0; call < 200; call++) aside.add(remnant(`c${call}`, { wants: 7, policy: number }));
    await aside.flush();
    expect(reports).toEqual([]);
    expect(lineage.map(([callId]) => callId)).toEqual(Array.from({ length: 200 }, (_, call) => `c${call}`));
    expect(content).toHaveLength(200);
    expect(JSON.parse(content[0]?.[5] ?? "")).toMatchObject({
      prompt: { items: [{ parts: [{ text: "#o" }] }] },
      answer: { items: [{ parts: [{ text: "wéll" }] }] },
      redacted: { r: 1 },
    });
    expect(aside.counts).toMatchObject({ records: 200, stored: 200, full: 0, hung: 0, refused: 0 });
  });

  it("leaves by itself a moment after it came", async () => {
    const { aside, clock, lineage } = world();
    aside.add(remnant("c1"));
    clock.advance(20);
    await expect.poll(() => lineage.length, { timeout: 10_000 }).toBe(1);
  });

  it("comes through whole, however long it is and whatever its letters take", async () => {
    const { aside, lineage, reports } = world();
    const texts = Array.from({ length: 40 }, (_, call) => `${call}${"漢字é".repeat(call % 7 === 0 ? 120_000 : 3000)}`);
    for (const [call, text] of texts.entries()) aside.add(remnant(`c${call}`, { text: body(text) }));
    await aside.flush();
    expect(reports).toEqual([]);
    const hashes = lineage.map(([, , , record]) => (JSON.parse(record) as LineageRecord).documents[0]?.hash);
    expect(hashes).toEqual(texts.map(textHash));
    expect(aside.counts.full).toBe(0);
  });

  it("is not recorded where its own language cannot read it, which is reported without its words", async () => {
    const { aside, lineage, reports } = world();
    aside.add(remnant("c1", { text: '{"messages":"a private word"}' }));
    aside.add(remnant("c1", { text: "a private word" }));
    aside.add(remnant("c2", { dialect: "no-such" }));
    aside.add(remnant("c3"));
    await aside.flush();
    expect(lineage.map(([callId]) => callId)).toEqual(["c3"]);
    expect(reports.map((line) => line.slice(0, 2))).toEqual(["c1", "c1", "c2"]);
    expect(reports.join()).not.toContain("private word");
  });

  it("has no answer where the answer broke off", async () => {
    const { aside, lineage } = world();
    aside.add(remnant("c1", { answer: frame({ content: "we" }) }));
    aside.add(remnant("c2", { answer: "" }));
    await aside.flush();
    expect(lineage.map(([, , , record]) => (JSON.parse(record) as { output?: string }).output)).toEqual([undefined, undefined]);
  });
});

describe("whatever goes wrong beside the calls", () => {
  it("a full queue drops and counts, and takes no more than it may", () => {
    const { aside } = world({ clock: new ManualClock(0) });
    for (let call = 0; call < 10_000; call++) aside.add(remnant(`c${call}`));
    expect(aside.waiting).toBeLessThanOrEqual(4096);
    expect(aside.counts.full).toBeGreaterThan(5000);
  });

  it("a pattern that never ends is given up with its batch, and the next batch is recorded", async () => {
    const { aside, clock, content, lines } = world();
    const evil = aside.numberOf(policy([{ name: "evil", pattern: "^(a+)+$", flags: "", with: "" }]));
    const good = aside.numberOf(policy("none"));
    aside.add(remnant("c1", { wants: 6, policy: evil, text: body(`${"a".repeat(60)}!`) }));
    const first = aside.flush();
    aside.add(remnant("c2", { wants: 6, policy: good }));
    clock.advance(ANSWER_MS);
    await first;
    await aside.flush();
    expect(aside.counts).toMatchObject({ hung: 1, stored: 1 });
    expect(content.map(([callId]) => callId)).toEqual(["c2"]);
    expect(lines.join()).toContain("hung");
  });

  it("a record that refuses is counted and stops nothing", async () => {
    const { aside, lineage } = world({ content: { keep: () => Promise.reject(new Error("disk full")) } });
    const number = aside.numberOf(policy("none"));
    aside.add(remnant("c1", { wants: 7, policy: number }));
    await aside.flush();
    expect(aside.counts).toMatchObject({ records: 1, stored: 0, refused: 1 });
    expect(lineage).toHaveLength(1);
  });

  it("what comes after the stop is dropped and counted", async () => {
    const { aside, lineage } = world();
    aside.add(remnant("c1"));
    await aside.close();
    aside.add(remnant("c2"));
    expect(lineage.map(([callId]) => callId)).toEqual(["c1"]);
    expect(aside.counts.full).toBe(1);
  });
});
