import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Provider, Snapshot, UpstreamCall, UpstreamSink } from "../../src/canon/index.ts";
import { snapshotOf } from "../../src/config/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { createGateway, openCall, type GatewayDeps } from "../../src/gateway/index.ts";
import { LiveCalls } from "../../src/gateway/live-calls.ts";
import type { Reader } from "../../src/gateway/reader.ts";
import type { CallRequest } from "../../src/gateway/request.ts";
import { systemClock, SystemRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { Health, type Permit } from "../../src/routing/health/index.ts";
import { Planner, type Plan } from "../../src/routing/plan.ts";
import { openSqlite } from "../../src/stores/index.ts";
import type { Compared, SurviveFigures } from "./figures.ts";
import { configOf } from "./stage.ts";

const CONFIG = `version: 1
providers:
  first: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true }
  second: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true }
models: { a: { targets: [first/m, second/m] } }
access: { anonymous: any }
`;
const DIALECT = "openai-chat";
/** Calls under way at a time. */
const AT_ONCE = 64;
const CHUNKS = 200;
/** Written in turns of the loop, as a socket gives them. */
const CHUNKS_A_TURN = 4;

const ANSWER = Buffer.from(
  JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: "word ".repeat(40) }, finish_reason: "stop" }],
    usage: { prompt_tokens: 10, completion_tokens: 40, total_tokens: 50 },
  }),
);
const chunk = (delta: object, finish: string | null): Buffer =>
  Buffer.from(
    `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`,
  );
const DELTAS = Array.from({ length: CHUNKS }, (_, place) => chunk({ content: `word${place} ` }, null));
const LAST = Buffer.concat([chunk({}, "stop"), Buffer.from("data: [DONE]\n\n")]);

/** The gateway in one process with an upstream that answers at once, with and without what is measured, in turns. */
export async function overhead(calls: number, streams: number, rounds: number): Promise<SurviveFigures["overhead"]> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-overhead-"));
  const stores = await openSqlite({ folder, node: "bench", clock: systemClock });
  try {
    const full = gatewayOver(stores);
    const bare = stripped(full);
    const plain = await compared(full, bare, false, calls, rounds);
    const streamed = await compared(full, bare, true, streams, rounds);
    const aChunk = (us: number): number => us / CHUNKS;
    return {
      plainUs: plain,
      // What a stream costs as a call is not a chunk's: it is taken off on both sides alike, and so falls out of the difference.
      chunkUs: {
        with: aChunk(streamed.with),
        without: aChunk(streamed.without),
        added: aChunk(Math.max(0, streamed.added - plain.added)),
      },
    };
  } finally {
    await stores.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function gatewayOver(stores: Awaited<ReturnType<typeof openSqlite>>): GatewayDeps {
  const clock = systemClock;
  const randomness = new SystemRandomness();
  const config = configOf(CONFIG);
  const snapshot: Snapshot = snapshotOf(config, 1, new Map(["first", "second"].map((id) => [id, instant(id)])));
  const health = new Health({ clock, randomness, options: config.health });
  health.configure(snapshot);
  return createGateway({
    clock,
    randomness,
    snapshot: () => snapshot,
    dialects,
    stores,
    book: createModelBook(),
    health,
    guards: [],
    node: "bench",
    report: (error) => process.stderr.write(`${String(error)}\n`),
  });
}

/** The same with a fixed plan, no health and no journal. */
function stripped(full: GatewayDeps): GatewayDeps {
  const { limits } = full.snapshot();
  const health = new NoHealth({ clock: full.clock, randomness: full.randomness, options: configOf(CONFIG).health });
  return { ...full, planner: new OnePlan(full), health, live: new LiveCalls(full.clock, () => limits) };
}

class OnePlan extends Planner {
  readonly #plan: Plan;

  constructor({ randomness, snapshot }: GatewayDeps) {
    super(randomness);
    const alias = snapshot().aliases.get("a");
    if (!alias) throw new Error("the alias is not there");
    this.#plan = {
      alias,
      strategy: "fallback",
      steps: alias.targets.map((target) => ({ target, reason: "fixed" })),
      skipped: [],
      rules: undefined,
      arm: undefined,
      tie: undefined,
      tiedTo: undefined,
    };
  }
  override plan(): Plan {
    return this.#plan;
  }
  override learn(): void {}
}

/** Everybody may come in, and nobody is remembered. */
const PASS = { state: "in", credential: undefined, started() {}, leave() {} } as unknown as Permit;

class NoHealth extends Health {
  override enter(): Permit {
    return PASS;
  }
}

function instant(id: string): Provider {
  return {
    id,
    dialects: [DIALECT],
    capabilities: () => ({}),
    open: (call, sink) => {
      let gone = false;
      const turn = (): void => void (gone || answer(call, sink, () => gone));
      setImmediate(turn);
      return { cancel: () => void (gone = true), resume: () => {} };
    },
    models: async () => [],
    check: async () => ({ ok: true, detail: "" }),
    close: async () => {},
  };
}

function answer(call: UpstreamCall, sink: UpstreamSink, isGone: () => boolean): void {
  if (!call.stream) {
    sink.onHead(200, { "content-type": "application/json" });
    sink.onData(ANSWER);
    return sink.onEnd();
  }
  sink.onHead(200, { "content-type": "text/event-stream" });
  let at = 0;
  const next = (): void => {
    if (isGone()) return;
    for (let piece = 0; piece < CHUNKS_A_TURN && at < DELTAS.length; piece++) sink.onData(DELTAS[at++] ?? LAST);
    if (at < DELTAS.length) return void setImmediate(next);
    sink.onData(LAST);
    sink.onEnd();
  };
  next();
}

async function compared(full: GatewayDeps, bare: GatewayDeps, stream: boolean, calls: number, rounds: number): Promise<Compared> {
  const [all, without]: [number[], number[]] = [[], []];
  for (let round = -1; round < rounds; round++) {
    const one = await cpuOf(full, stream, calls);
    const other = await cpuOf(bare, stream, calls);
    // The first round warms both up.
    if (round < 0) continue;
    all.push(one);
    without.push(other);
  }
  const [a, b] = [median(all), median(without)];
  return { with: a, without: b, added: median(all.map((one, place) => one - (without[place] ?? 0))) };
}

/** CPU microseconds of a call, all threads. */
async function cpuOf(deps: GatewayDeps, stream: boolean, calls: number): Promise<number> {
  const dialect = dialects.get(DIALECT);
  const door = dialect?.doors.find(({ does }) => does.kind === "call");
  if (!dialect || door?.does.kind !== "call") throw new Error("the language has no door");
  const body = new TextEncoder().encode(JSON.stringify({ model: "a", stream, messages: [{ role: "user", content: "word ".repeat(150) }] }));
  const request: CallRequest = {
    dialect,
    door: { ...door, does: door.does },
    headers: { "content-type": "application/json" },
    params: {},
    peer: "127.0.0.1",
    readBody: () => Promise.resolve(body),
  };
  const before = process.cpuUsage();
  let left = calls;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await new Promise<void>((done) => openCall(deps, request, readerUntil(done)));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  await deps.live.whenIdle();
  await deps.spilling.flush();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

function readerUntil(done: () => void): Reader {
  return {
    whole(status) {
      if (status !== 200) throw new Error(`a call was answered ${status}`);
      done();
    },
    head() {},
    frames: () => true,
    end: done,
  };
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? 0;
}
