/**
 * `node bench/translate.ts [only]`: CPU of one chunk of a streamed answer between the upstream's bytes and the client's frames, for every
 * pair of languages, without network, threads or clock. Streams are read side by side, as in a gateway, so that none has the caches for
 * itself. The pairs of one upstream take turns, and the least of several figures counts: whatever else the machine does only adds to them.
 * `only` is a part of a pair's name: the others are left out, for a profile.
 */
import { NO_USAGE, unfold, type Call, type Dialect, type Event } from "../src/canon/index.ts";
import { dialects } from "../src/dialects/registry.generated.ts";
import { frameWriter, streamHeaders } from "../src/gateway/framing.ts";
import { limitsOptions } from "../src/gateway/options.ts";
import { LiveCall } from "../src/gateway/live.ts";
import type { Reader } from "../src/gateway/reader.ts";
import { openReply, type Reply, type ReplyContext } from "../src/gateway/reply.ts";
import { systemClock } from "../src/kit/index.ts";

const CHUNKS = 50;
/** Streams that are read side by side: so many that what one touches is out of the processor's caches when its turn comes again. */
const STREAMS = 1_000;
const WARM_ROUNDS = 5;
const ROUNDS = 2;
const REPEATS = 9;

const WORDS = ["The ", "gateway ", "keeps ", "one ", "row ", "for ", "every ", 'call "', "as ", "told;\n"];

const limits = limitsOptions.parse(undefined);
const nobody: Reader = { whole() {}, head() {}, frames: () => true, end() {} };

/** What an upstream of this language sends: each frame a chunk of its own, as when tokens are slow. */
function recorded(dialect: Dialect): Buffer[] {
  const frames: Buffer[] = [];
  const written = frameWriter(dialect);
  const encoder = dialect.encodeEvents((event, data) => void frames.push(written(event, data)), context(dialect.id));
  for (const event of answer()) encoder.event(event);
  return frames;
}

function* answer(): Generator<Event> {
  const texts = Array.from({ length: CHUNKS }, (_, at) => WORDS[at % WORDS.length] ?? "");
  const whole = unfold({
    id: "answer-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
    model: "small-2026-07-18",
    createdAt: 1_763_720_000,
    items: [{ type: "message", role: "assistant", parts: [{ type: "text", text: texts.join("") }] }],
    stop: "end",
    usage: { ...NO_USAGE, inputUncached: 219, output: CHUNKS },
    origin: { dialect: "none" },
    native: {},
  });
  for (const event of whole) {
    if (event.type === "text") for (const text of texts) yield { ...event, text };
    else yield event;
  }
}

function context(dialect: string): { readonly call: Call; readonly createdAt: number } {
  const call: Call = {
    operation: "generate",
    origin: { dialect },
    model: "small",
    stream: true,
    items: [],
    tools: [],
    sampling: {},
    native: { stream_options: { include_usage: true } },
    touched: new Set(),
  };
  return { call, createdAt: 1_763_720_000 };
}

function replyContext(client: Dialect, upstream: Dialect, forward: boolean): ReplyContext {
  const live = new LiveCall({ id: "call", clock: systemClock, journalBytes: limits.journalBytes });
  live.attach(nobody);
  const answered = context(client.id);
  return {
    live,
    client,
    upstream,
    provider: { id: "upstream" },
    wantsStream: true,
    forward,
    withholdUsage: false,
    keep: false,
    guards: [],
    limits,
    canonicalCall: () => answered.call,
    answerContext: () => answered,
    headers: () => ({}),
    onOutput() {},
  };
}

function begun(stream: ReplyContext): Reply {
  return openReply(stream, streamHeaders(stream.upstream));
}

/** Reads all streams once, side by side. */
function round(frames: readonly Buffer[], open: () => ReplyContext): void {
  const replies = Array.from({ length: STREAMS }, () => begun(open()));
  for (const frame of frames) for (const reply of replies) reply.data(frame);
  for (const reply of replies) {
    const problem = reply.end();
    if (problem) throw new Error(problem.message);
  }
}

/** Microseconds of CPU a chunk; the opening and the end of a stream are shared out among its chunks. */
function measure(frames: readonly Buffer[], open: () => ReplyContext): number {
  const before = process.cpuUsage();
  for (let at = 0; at < ROUNDS; at++) round(frames, open);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (ROUNDS * STREAMS * CHUNKS);
}

interface Case {
  readonly name: string;
  readonly open: () => ReplyContext;
  least: number;
}

const only = process.argv[2] ?? "";
const spoken = [...dialects.values()].filter(({ doors }) =>
  doors.some(({ does }) => does.kind === "call" && does.operation === "generate"),
);
for (const upstream of spoken) {
  const frames = recorded(upstream);
  const forwarded: Case = { name: `${upstream.id}, forwarded`, open: () => replyContext(upstream, upstream, true), least: Infinity };
  const translated = spoken.map((client): Case => {
    return { name: `${upstream.id} to ${client.id}`, open: () => replyContext(client, upstream, false), least: Infinity };
  });
  const cases = [forwarded, ...translated].filter(({ name }) => name.includes(only));
  for (const { open } of cases) for (let at = 0; at < WARM_ROUNDS; at++) round(frames, open);
  for (let repeat = 0; repeat < REPEATS; repeat++) for (const one of cases) one.least = Math.min(one.least, measure(frames, one.open));
  for (const { name, least } of cases) {
    const above = cases[0] === forwarded && name !== forwarded.name ? `, ${(least - forwarded.least).toFixed(2)} above forwarded` : "";
    process.stdout.write(`${name.padEnd(40)} ${least.toFixed(2)} µs a chunk${above}\n`);
  }
}
