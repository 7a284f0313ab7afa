import { describe, expect, it } from "vitest";
import type { EmbedTask, Headers, Problem, Provider, UpstreamCall, UpstreamSink } from "../../src/canon/index.ts";
import { taskDialects } from "../../src/dialects/registry.generated.ts";
import { slicesOf } from "../../src/gateway/task-merge.ts";
import { SlicedProvider } from "../../src/gateway/task-slices.ts";
import { ManualClock } from "../../src/kit/index.ts";

/** A provider whose answers a test gives one by one. */
class Held implements Provider {
  readonly id = "held";
  readonly dialects = [];
  readonly asked: { readonly call: UpstreamCall; readonly sink: UpstreamSink; cancelled: boolean }[] = [];
  /** Answers before `open` returns. */
  readonly atOnce: boolean;

  constructor(atOnce = false) {
    this.atOnce = atOnce;
  }
  capabilities = () => ({});
  models = () => Promise.resolve([]);
  check = () => Promise.resolve({ ok: true, detail: "" });
  close = () => Promise.resolve();

  open(call: UpstreamCall, sink: UpstreamSink) {
    const one = { call, sink, cancelled: false };
    this.asked.push(one);
    if (this.atOnce) this.answer(this.asked.length - 1);
    return {
      cancel: () => {
        one.cancelled = true;
      },
      resume() {},
    };
  }
  inputs(place: number): readonly string[] {
    return (JSON.parse(String(this.asked[place]?.call.request.body)) as { input: string[] }).input;
  }
  answer(place: number, status = 200, headers: Headers = {}): void {
    const sink = this.asked[place]?.sink;
    const data = this.inputs(place).map((text, index) => ({ index, embedding: [Number(text)] }));
    const body = status === 200 ? { data, usage: { prompt_tokens: data.length } } : { error: { message: `failed ${place}` } };
    sink?.onHead(status, { "content-type": "application/json", ...headers });
    sink?.onData(Buffer.from(JSON.stringify(body)));
    sink?.onEnd();
  }
}

class Told implements UpstreamSink {
  status = 0;
  body = "";
  ended = 0;
  problem: Problem | undefined;
  onHead(status: number): void {
    this.status = status;
  }
  onData(chunk: Buffer): boolean {
    this.body += chunk.toString();
    return true;
  }
  onEnd(): void {
    this.ended++;
  }
  onProblem(problem: Problem): void {
    this.ended++;
    this.problem = problem;
  }
}

const INPUTS = Array.from({ length: 20 }, (_, at) => String(at));

function open(provider: Held, inputs = INPUTS, answerBytes = 10_000) {
  const dialect = taskDialects.get("openai-tasks");
  const codec = dialect?.tasks?.embed;
  if (!dialect || !codec) throw new Error("no codec");
  const native = { model: "m", input: inputs };
  const task: EmbedTask = {
    operation: "embed",
    origin: { dialect: dialect.id },
    model: "m",
    native,
    inputs,
    single: false,
    encodings: ["float"],
  };
  const support = { dialects: [dialect.id], maxInputs: 2 };
  const clock = new ManualClock();
  const sliced = new SlicedProvider({
    provider,
    dialect,
    codec,
    task,
    slices: slicesOf(task, support),
    encode: (slice) => codec.encode(slice, { provider: "held", model: "m", capabilities: {}, support }, () => {}),
    clock,
    answerBytes,
    isKept: true,
  });
  const told = new Told();
  const request = { method: "POST" as const, path: "/", headers: {}, body: "" };
  const handle = sliced.open({ dialect: dialect.id, operation: "embed", model: "m", stream: false, request, attempt: 0 }, told);
  return { sliced, told, handle, clock };
}

const numbersIn = ({ body }: Told): number[] =>
  (JSON.parse(body) as { data: { embedding: number[] }[] }).data.map(({ embedding }) => embedding[0] ?? -1);

describe("a task in pieces", () => {
  it("asks for four at once, and is whole in the order of its inputs, whatever order they come in", () => {
    const provider = new Held();
    const { told, sliced } = open(provider);
    expect(provider.asked).toHaveLength(4);
    for (const place of [3, 2, 1, 0]) provider.answer(place);
    expect(provider.asked).toHaveLength(8);
    for (const place of [7, 4, 6, 5, 9, 8]) provider.answer(place);
    expect([told.status, told.ended, numbersIn(told)]).toEqual([200, 1, INPUTS.map(Number)]);
    expect(sliced.spent?.inputUncached).toBe(20);
  });

  it("may be answered before the provider returns", () => {
    const { told } = open(new Held(true));
    expect([told.ended, numbersIn(told)]).toEqual([1, INPUTS.map(Number)]);
  });

  it("waits as the provider says before it asks for a piece again, and gives up after two", () => {
    const provider = new Held();
    const { told, clock, sliced } = open(provider, INPUTS.slice(0, 4));
    provider.answer(0);
    provider.answer(1, 429, { "retry-after": "2" });
    expect(provider.asked).toHaveLength(2);
    clock.advance(1999);
    expect(provider.asked).toHaveLength(2);
    clock.advance(1);
    expect(provider.inputs(2)).toEqual(["2", "3"]);
    provider.answer(2, 503);
    clock.advance(400);
    provider.answer(3, 503);
    expect([told.status, told.ended, told.body]).toEqual([503, 1, '{"error":{"message":"failed 3"}}']);
    expect(sliced.spent?.inputUncached).toBe(2);
  });

  it("is not asked for again when that cannot help, and the other pieces are stopped", () => {
    const provider = new Held();
    const { told } = open(provider);
    provider.answer(1, 400);
    expect([told.status, told.ended]).toEqual([400, 1]);
    expect(provider.asked.map(({ cancelled }) => cancelled)).toEqual([true, false, true, true]);
    provider.answer(0);
    expect([told.ended, provider.asked.length]).toEqual([1, 4]);
  });

  it("stops all of them when its client leaves, those that wait too", () => {
    const provider = new Held();
    const { told, handle, clock } = open(provider);
    provider.answer(0, 503);
    handle.cancel();
    clock.advance(10_000);
    expect(provider.asked).toHaveLength(4);
    expect(provider.asked.slice(1).every(({ cancelled }) => cancelled)).toBe(true);
    expect(told.ended).toBe(0);
  });

  it("fails when a connection breaks for good, or a piece is larger than an answer may be", () => {
    const provider = new Held();
    const { told, clock } = open(provider, INPUTS.slice(0, 2).concat("3"));
    for (let at = 0; at < 3; at++) {
      provider.asked.at(-1)?.sink.onProblem({ kind: "upstream_unavailable", message: "reset" });
      clock.advance(1000);
    }
    expect(told.problem).toMatchObject({ kind: "upstream_unavailable", message: "reset" });
    const large = new Held();
    const second = open(large, INPUTS, 10);
    for (let at = 0; at < 3; at++) {
      large.answer(large.asked.length - 1);
      second.clock.advance(1000);
    }
    expect(second.told.problem?.message).toContain("larger than 10 bytes");
  });
});

describe("slices", () => {
  const task = (inputs: readonly (string | readonly number[])[]): EmbedTask => ({
    operation: "embed",
    origin: { dialect: "x" },
    model: "m",
    native: {},
    inputs,
    single: false,
    encodings: ["float"],
  });
  const sizes = (inputs: readonly (string | readonly number[])[], limits: object): number[] =>
    slicesOf(task(inputs), { dialects: [], ...limits }).map((slice) => (slice.operation === "embed" ? slice.inputs.length : 0));

  it("follow the number of inputs, their tokens together, or both", () => {
    expect(
      sizes(
        Array.from({ length: 7 }, () => "a"),
        { maxInputs: 3 },
      ),
    ).toEqual([3, 3, 1]);
    expect(sizes([[1, 2, 3], [4, 5], [6], [7, 8, 9, 10, 11]], { maxTotalTokens: 5 })).toEqual([2, 1, 1]);
    expect(sizes(["aaa".repeat(10), "b", "c"], { maxInputs: 2, maxTotalTokens: 12 })).toEqual([1, 2]);
    expect(sizes(["x".repeat(1000)], { maxTotalTokens: 5 })).toEqual([1]);
    expect(sizes(["a", "b"], {})).toEqual([2]);
  });
});
