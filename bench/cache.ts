import { Answers, cacheKey, idOf, takeOf, Recording, DEFAULT_CACHE_LIMITS, wireKey, type KeptAnswer } from "../src/cache/index.ts";
import { NO_USAGE, type Alias, type Call, type Dialect, type Snapshot } from "../src/canon/index.ts";
import { dialects } from "../src/dialects/registry.generated.ts";
import { createGateway, openCall } from "../src/gateway/index.ts";
import type { Reader } from "../src/gateway/reader.ts";
import { limitsOptions } from "../src/gateway/options.ts";
import type { CallRequest } from "../src/gateway/request.ts";
import { systemClock, SystemRandomness } from "../src/kit/index.ts";
import { openJson } from "../src/kit/json.ts";
import { memoryStores } from "../src/stores/memory.ts";
import { createSimulator, simOptions } from "../src/providers/sim/index.ts";

/**
 * CPU microseconds of the cache: `node bench/cache.ts [rounds]`. The key by size of the conversation, a look in memory, and whole calls
 * through the pipeline in this process (no sockets, a store in memory): without a cache, missing it, answered from it.
 */
const ROUNDS = Number(process.argv[2] ?? 20_000);
const CHAT = "openai-chat";

function dialectOf(id: string): Dialect {
  const dialect = dialects.get(id);
  if (!dialect) throw new Error(`there is no language ${id}`);
  return dialect;
}

const chat = dialectOf(CHAT);
const context = { operation: "generate", headers: {}, params: {} } as const;
const alias = (cached: boolean): Alias => ({
  name: "a",
  targets: [{ provider: "sim", model: "fixed", weight: 1 }],
  strategy: "fallback",
  retries: 0,
  timeoutMs: 10_000,
  continue: "never",
  ...(cached && { cache: { ttlMs: 600_000, staleMs: 0, share: "key", replay: "burst", keyWith: [] } }),
});

/** A conversation of about so many bytes, in messages of 1 kB. */
function body(bytes: number): { readonly model: string; readonly messages: readonly object[] } {
  const messages = Array.from({ length: Math.max(1, Math.round(bytes / 1000)) }, (_, index) => ({
    role: index % 2 === 0 ? "user" : "assistant",
    content: `${index} ${"lorem ipsum dolor ".repeat(54)}`,
  }));
  return { model: "a", messages };
}

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** The best of several rounds: what others did on the machine only adds. */
async function measure(name: string, rounds: number, work: (index: number) => unknown): Promise<void> {
  let best = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat < 4; repeat++) {
    const before = cpuMicroseconds();
    for (let index = 0; index < rounds; index++) {
      const result = work(index + repeat * rounds);
      if (result instanceof Promise) await result;
    }
    best = Math.min(best, (cpuMicroseconds() - before) / rounds);
  }
  console.log(`${name.padEnd(44)} ${best.toFixed(2).padStart(8)} µs`);
}

async function keys(): Promise<void> {
  for (const bytes of [1000, 10_000, 100_000]) {
    const opened = openJson(Buffer.from(JSON.stringify(body(bytes))), { depth: 100 });
    if (!opened.ok) throw new Error(opened.message);
    const { value } = opened.document;
    const rounds = Math.max(200, Math.round((ROUNDS * 1000) / bytes));
    const facts = { tenant: "t", policy: "[]", alias: alias(true) };
    const call: Call = chat.decodeCall(value, context);
    await measure(`decode a call of ${bytes / 1000} kB`, rounds, () => chat.decodeCall(value, context));
    await measure(`key of a call of ${bytes / 1000} kB`, rounds, () => cacheKey(call, facts));
    await measure(`wire key of a call of ${bytes / 1000} kB`, rounds, () => wireKey(call));
  }
}

async function looks(): Promise<void> {
  const { cache } = memoryStores(systemClock);
  const answers = new Answers({ store: cache, clock: systemClock, limits: () => DEFAULT_CACHE_LIMITS, report: console.error });
  const recording = new Recording({ dialect: CHAT, provider: "p", model: "m", contentType: "application/json" });
  recording.add(Buffer.from("x".repeat(1000)), 0);
  const now = systemClock.now();
  const kept = (key: string): KeptAnswer => ({
    scope: "s",
    key,
    model: "a",
    target: "p/m",
    tags: [],
    createdAt: now,
    freshUntil: now + 600_000,
    expiresAt: now + 600_000,
    take: takeOf(recording, NO_USAGE),
  });
  const generation = await answers.begin();
  for (let index = 0; index < 1000; index++) await answers.keep(kept(`k${index}`), generation);
  await measure("a look in memory, hit", ROUNDS, (index) => answers.peek(idOf("s", `k${index % 1000}`)));
  await measure("a look in memory, miss", ROUNDS, (index) => answers.peek(idOf("s", `m${index % 1000}`)));
}

interface Pipeline {
  call(body: object): Promise<void>;
}

function pipeline(cached: boolean): Pipeline {
  const options = simOptions.parse({ models: { fixed: { text: "lorem ipsum dolor sit amet ".repeat(20) } } });
  const randomness = new SystemRandomness();
  const provider = createSimulator("sim", options, { dialects, clock: systemClock, randomness });
  const snapshot: Snapshot = {
    version: 1,
    aliases: new Map([["a", alias(cached)]]),
    providers: new Map([["sim", provider]]),
    limits: limitsOptions.parse({}),
    access: { anonymous: "any" },
    callerLimits: [],
  };
  const stores = memoryStores(systemClock);
  const ledger = { ...stores.ledger, settle: () => Promise.resolve(), open: () => {} };
  const gateway = createGateway({
    clock: systemClock,
    randomness,
    snapshot: () => snapshot,
    dialects,
    // The store's own work is another thread's.
    stores: { ...stores, ledger, cache: { ...stores.cache, keep: () => Promise.resolve(true) } },
    book: { version: "1", facts: () => undefined, cost: () => 0, countTokens: () => 1 },
    guards: [],
    node: "bench",
    report: console.error,
  });
  const door = chat.doors.find((candidate) => candidate.does.kind === "call") as CallRequest["door"];
  return {
    call: async (asked) => {
      const bytes = Buffer.from(JSON.stringify(asked));
      const reader: Reader = { whole() {}, head() {}, frames: () => true, end() {} };
      const request: CallRequest = { dialect: chat, door, headers: {}, params: {}, peer: "::1", readBody: () => Promise.resolve(bytes) };
      await openCall(gateway, request, reader).whenSettled();
    },
  };
}

async function calls(): Promise<void> {
  const rounds = Math.round(ROUNDS / 2);
  for (const stream of [false, true]) {
    const kind = stream ? "streamed" : "plain";
    const bare = pipeline(false);
    const cached = pipeline(true);
    const ask = (seed: number): object => ({ ...body(1000), stream, seed });
    await measure(`a ${kind} call, alias without cache`, rounds, (index) => bare.call(ask(index)));
    await measure(`a ${kind} call, missed and kept`, rounds, (index) => cached.call(ask(index)));
    await measure(`a ${kind} call, hit`, rounds, (index) => cached.call(ask(index % 20)));
  }
}

await keys();
await looks();
await calls();
