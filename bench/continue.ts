import { performance } from "node:perf_hooks";
import type { AnswerContext, Call, Dialect, Limits } from "../src/canon/index.ts";
import { dialects } from "../src/dialects/registry.generated.ts";
import { LiveCall } from "../src/gateway/live.ts";
import { openReply, type ReplyContext } from "../src/gateway/reply.ts";
import { saidIn } from "../src/gateway/said.ts";
import { ContinuedWriter } from "../src/gateway/stitch.ts";
import { SeededRandomness, systemClock } from "../src/kit/index.ts";
import { createSimulator, simOptions } from "../src/providers/sim/index.ts";

/**
 * What `continue` costs: `node bench/continue.ts [streams]`. CPU nanoseconds of a streamed chunk from the upstream's bytes to the live call,
 * with and without it, forwarded and decoded; and microseconds to take up a stream that broke, by the frames that were sent.
 */
const streams = Number(process.argv[2] ?? 60);
const ROUNDS = 5;
const TOKENS = 2000;
const limits = { frameBytes: 1 << 24, answerBytes: 1 << 26 } as Limits;

/** The simulator's stream of one language, a chunk a token. */
async function chunksOf(dialect: Dialect): Promise<readonly Buffer[]> {
  const sim = createSimulator(
    "sim",
    simOptions.parse({ models: { words: { length: TOKENS, seed: 3, faults: [{ kind: "garble", share: 1, afterBytes: 1e9 }] } } }),
    { dialects, clock: systemClock, randomness: new SeededRandomness(1) },
  );
  const list = dialect.id === "openai-responses" ? "input" : "messages";
  const body = JSON.stringify({ model: "words", max_tokens: 20_000, stream: true, [list]: [{ role: "user", content: "hi" }] });
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve) => {
    sim.open(
      {
        dialect: dialect.id,
        operation: "generate",
        model: "words",
        stream: true,
        attempt: 0,
        request: { method: "POST", path: "/", headers: {}, body },
      },
      { onHead: () => {}, onData: (chunk) => chunks.push(chunk) > 0, onEnd: resolve, onProblem: () => resolve() },
    );
  });
  // The fault at the end is only there to have every token written by itself.
  return chunks.filter((chunk) => !chunk.includes(0xff));
}

function contextOf(dialect: Dialect, forward: boolean, continues: boolean): ReplyContext {
  const list = dialect.id === "openai-responses" ? "input" : "messages";
  const call: Call = dialect.decodeCall(
    { model: "words", max_tokens: 20_000, stream: true, [list]: [{ role: "user", content: "hi" }] },
    { operation: "generate", headers: {}, params: {} },
  );
  const answer: AnswerContext = { call, createdAt: 1 };
  return {
    live: new LiveCall({ id: "call_1", clock: systemClock, journalBytes: 1 << 24 }),
    client: dialect,
    upstream: dialect,
    provider: { id: "sim" },
    wantsStream: true,
    forward,
    continues,
    withholdUsage: false,
    keep: false,
    guards: [],
    limits,
    canonicalCall: () => call,
    answerContext: () => answer,
    headers: () => ({}),
    onOutput: () => {},
  };
}

function perChunk(dialect: Dialect, chunks: readonly Buffer[], forward: boolean, continues: boolean): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const contexts = Array.from({ length: streams }, () => contextOf(dialect, forward, continues));
    const before = process.cpuUsage();
    for (const context of contexts) {
      const reply = openReply(context, { "content-type": "text/event-stream" });
      for (const chunk of chunks) reply.data(chunk);
    }
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, ((user + system) * 1000) / (streams * chunks.length));
  }
  return best;
}

/** Microseconds from the frames that were sent to a writer that goes on. */
function takeUp(dialect: Dialect, chunks: readonly Buffer[], count: number): number {
  const frames = chunks.slice(0, count);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const context = contextOf(dialect, false, true);
    const before = performance.now();
    const said = saidIn(frames, dialect, "sim");
    const writer = new ContinuedWriter(context, { said, how: "prefill", used: undefined, json: false, call: context.canonicalCall() });
    best = Math.min(best, (performance.now() - before) * 1000);
    if (writer.state !== "open") throw new Error("a stream that broke is not over");
  }
  return best;
}

for (const dialect of dialects.values()) {
  const chunks = await chunksOf(dialect);
  const figures = [true, false].map((forward) => {
    const without = perChunk(dialect, chunks, forward, false);
    const having = perChunk(dialect, chunks, forward, true);
    return `${forward ? "forwarded" : "decoded"} ${without.toFixed(0)} ns a chunk, with continue ${having.toFixed(0)} ns (${having >= without ? "+" : ""}${(having - without).toFixed(0)})`;
  });
  process.stdout.write(
    `${dialect.id}: ${figures.join("; ")}; taken up behind 100 frames in ${takeUp(dialect, chunks, 100).toFixed(0)} us, behind 1500 in ${takeUp(dialect, chunks, 1500).toFixed(0)} us\n`,
  );
}
