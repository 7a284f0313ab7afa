/**
 * `node bench/tasks.ts`: what tasks cost the gateway, in this process and without network, so that only its own work counts. A small
 * embedding beside a plain conversation, with the bytes passing and translated, in CPU microseconds; and 2,048 inputs of 1,536 dimensions, split
 * to what a provider takes, in milliseconds and as the answer's size against what the upstream sent, with how long the event loop was held up.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate, setTimeout } from "node:timers";
import type { Dialect, JsonObject, Provider, Snapshot, UpstreamCall, UpstreamSink } from "../src/canon/index.ts";
import { languages } from "../src/dialects/registry.generated.ts";
import { createGateway, openCall, type GatewayDeps } from "../src/gateway/index.ts";
import { limitsOptions } from "../src/gateway/options.ts";
import type { Reader } from "../src/gateway/reader.ts";
import type { CallRequest } from "../src/gateway/request.ts";
import { systemClock, SystemRandomness } from "../src/kit/index.ts";
import { createModelBook } from "../src/models/index.ts";
import { memoryStores } from "../src/stores/index.ts";

const CALLS = 4000;
const WARM_CALLS = 2000;
const ROUNDS = 5;
const INPUTS = 2048;
const DIMENSIONS = 1536;
const SLICE = 96;
const LARGE_ROUNDS = 5;

const PLAIN = JSON.stringify({
  id: "c1",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "hello there" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
});

function vectors(count: number, dimensions: number): readonly (readonly number[])[] {
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: dimensions }, (_inner, at) => Math.fround(Math.sin(row * 31 + at))),
  );
}
const toBase64 = (vector: readonly number[]): string => Buffer.from(Float32Array.from(vector).buffer).toString("base64");

/** Answers made beforehand, by language and number of inputs. */
class Canned implements Provider {
  readonly id = "lab";
  readonly dialects: readonly string[];
  readonly tasks;
  sent = 0;
  requests = 0;
  readonly #answers = new Map<string, Buffer>();

  constructor(dialects: readonly string[], embed: string, maxInputs: number) {
    this.dialects = dialects;
    this.tasks = { embed: { dialects: [embed], maxInputs } };
  }
  capabilities = () => ({});
  models = () => Promise.resolve([]);
  check = () => Promise.resolve({ ok: true, detail: "" });
  close = () => Promise.resolve();

  open(call: UpstreamCall, sink: UpstreamSink) {
    const body = this.#answer(call);
    this.sent += body.length;
    this.requests++;
    // A turn of the event loop for each, as answers come over a network.
    const later = body.length > 100_000 ? setImmediate : queueMicrotask;
    later(() => {
      sink.onHead(200, { "content-type": "application/json" });
      sink.onData(body);
      sink.onEnd();
    });
    return { cancel() {}, resume() {} };
  }

  #answer({ operation, dialect, request }: UpstreamCall): Buffer {
    if (operation === "generate") return this.#kept("plain", () => PLAIN);
    const asked = JSON.parse(String(request.body)) as JsonObject;
    const list = (asked["input"] ?? asked["texts"]) as readonly string[];
    const base64 = asked["encoding_format"] === "base64" || JSON.stringify(asked["embedding_types"]) === '["base64"]';
    const dimensions = list.length > 8 ? DIMENSIONS : 8;
    return this.#kept(`${dialect} ${list.length} ${base64}`, () => {
      const rows = vectors(list.length, dimensions);
      if (dialect.startsWith("cohere")) {
        const embeddings = base64 ? { base64: rows.map(toBase64) } : { float: rows };
        return JSON.stringify({ id: "e", embeddings, meta: { billed_units: { input_tokens: 9 } } });
      }
      const data = rows.map((row, index) => ({ object: "embedding", index, embedding: base64 ? toBase64(row) : row }));
      return JSON.stringify({ object: "list", data, model: "m", usage: { prompt_tokens: 9, total_tokens: 9 } });
    });
  }
  #kept(name: string, make: () => string): Buffer {
    const before = this.#answers.get(name);
    if (before) return before;
    const made = Buffer.from(make());
    this.#answers.set(name, made);
    return made;
  }
}

function gatewayOf(provider: Provider): GatewayDeps {
  const snapshot = {
    version: 1,
    aliases: new Map(),
    providers: new Map([["lab", provider]]),
    limits: limitsOptions.parse({ answerBytes: 512 * 1024 * 1024 }),
    access: { anonymous: "any" },
    callerLimits: [],
  } as unknown as Snapshot;
  const clock = systemClock;
  const deps = { clock, randomness: new SystemRandomness(), snapshot: () => snapshot, dialects: languages, stores: memoryStores(clock) };
  return createGateway({
    ...deps,
    book: createModelBook(),
    guards: [],
    node: "bench",
    report: (error) => process.stderr.write(`${String(error)}\n`),
  });
}

/** One call to its end; resolves with the size of the answer. */
async function ask(deps: GatewayDeps, dialect: Dialect, path: string, body: Uint8Array): Promise<number> {
  const door = dialect.doors.find((one) => one.path === path) as CallRequest["door"];
  let size = 0;
  const reader: Reader = {
    whole: (status, _headers, answer) => {
      if (status !== 200) throw new Error(`status ${status}: ${answer.toString().slice(0, 200)}`);
      size = Buffer.byteLength(answer);
    },
    head() {},
    frames: () => true,
    end() {},
  };
  const live = openCall(deps, { dialect, door, headers: {}, params: {}, peer: "127.0.0.1", readBody: () => Promise.resolve(body) }, reader);
  await live.whenSettled();
  return size;
}

async function small(name: string, provider: Provider, id: string, path: string, body: object): Promise<void> {
  const deps = gatewayOf(provider);
  const dialect = languages.get(id) as Dialect;
  const bytes = Buffer.from(JSON.stringify(body));
  for (let at = 0; at < WARM_CALLS; at++) await ask(deps, dialect, path, bytes);
  const figures: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let at = 0; at < CALLS; at++) await ask(deps, dialect, path, bytes);
    const { user, system } = process.cpuUsage(before);
    figures.push((user + system) / CALLS);
  }
  process.stdout.write(`${name}: ${Math.min(...figures).toFixed(1)} µs a call\n`);
}

async function large(name: string, embed: string, maxInputs: number, format: string): Promise<void> {
  const provider = new Canned([], embed, maxInputs);
  const deps = gatewayOf(provider);
  const dialect = languages.get("openai-tasks") as Dialect;
  const body = Buffer.from(
    JSON.stringify({ model: "lab/m", input: Array.from({ length: INPUTS }, (_, at) => `text ${at}`), encoding_format: format }),
  );
  let size = await ask(deps, dialect, "/v1/embeddings", body);
  const times: number[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (let round = 0; round < LARGE_ROUNDS; round++) {
    provider.sent = provider.requests = 0;
    const before = performance.now();
    size = await ask(deps, dialect, "/v1/embeddings", body);
    times.push(performance.now() - before);
    // The loop turns, so that what this round held up is noticed.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  delay.disable();
  const [p99, most] = [delay.percentile(99) / 1e6, delay.max / 1e6];
  const ratio = size / provider.sent;
  process.stdout.write(
    `${name}: ${Math.min(...times).toFixed(0)} ms, ${provider.requests} requests, ${(size / 1e6).toFixed(1)} MB to the client, ${ratio.toFixed(2)} x the upstream's, the event loop held up ${p99.toFixed(0)} ms (p99), ${most.toFixed(0)} ms at most\n`,
  );
}

const INPUT = { model: "lab/m", input: ["one short text", "another one"] };
await small("plain conversation", new Canned(["openai-chat"], "", 1), "openai-chat", "/v1/chat/completions", {
  model: "lab/m",
  messages: [{ role: "user", content: "one short text, another one" }],
});
await small("embedding, bytes pass", new Canned([], "openai-tasks", INPUTS), "openai-tasks", "/v1/embeddings", INPUT);
await small("embedding, translated", new Canned([], "cohere-tasks", INPUTS), "openai-tasks", "/v1/embeddings", INPUT);
await large("2,048 inputs in one, base64", "openai-tasks", INPUTS, "base64");
await large("2,048 inputs split, base64", "openai-tasks", SLICE, "base64");
await large("2,048 inputs split and translated, base64", "cohere-tasks", SLICE, "base64");
await large("2,048 inputs in one, float", "openai-tasks", INPUTS, "float");
await large("2,048 inputs split, float", "openai-tasks", SLICE, "float");
await large("2,048 inputs in one and translated, float", "cohere-tasks", INPUTS, "float");
await large("2,048 inputs split and translated, float", "cohere-tasks", SLICE, "float");
