import { trackOf, type KeptAnswer, type Passenger, type Track } from "../cache/index.ts";
import {
  ProblemError,
  problemFrom,
  type AnswerContext,
  type Call,
  type Dialect,
  type Event,
  type Guard,
  type Item,
  type Limits,
  type Problem,
} from "../canon/index.ts";
import { carriedText } from "./carried.ts";
import { answerContext } from "./context.ts";
import type { LiveCall } from "./live.ts";
import { answerHeaders } from "./refuse.ts";
import { openReply, type Reply, type ReplyContext } from "./reply.ts";
import { callOf, continues, operationOf, type GatewayDeps, type Run } from "./run.ts";
import { playedTask } from "./task-address.ts";
import type { TaskReply } from "./task-reply.ts";

/** How it ended: the client has its answer, or this call must ask the upstream itself. */
export type PlaybackEnd = "answered" | "lead";

/**
 * Gives a call an answer that another call got: one that is kept, or one that is still coming in. It is read as an upstream's answer is,
 * so every language, plain or streamed, every guard and every kept turn is served alike.
 */
export class Playback implements ReplyContext, Passenger {
  readonly done: Promise<PlaybackEnd>;
  readonly live: LiveCall;
  readonly client: Dialect;
  readonly wantsStream: boolean;
  readonly keep: boolean;
  readonly continues: boolean;
  readonly guards: readonly Guard[];
  readonly limits: Limits;
  upstream: Dialect;
  task: TaskReply | undefined;
  provider = { id: "" };
  forward = false;
  withholdUsage = false;
  readonly #deps: GatewayDeps;
  readonly #run: Run;
  readonly #wire: string;
  #resolve!: (end: PlaybackEnd) => void;
  #reject!: (error: ProblemError) => void;
  #track: Track | undefined;
  #reply: Reply | undefined;
  #next = 0;
  #startedMs = 0;
  #paced = false;
  #paused = false;
  #over = false;
  #cancelTimer = (): void => {};
  /** What made this track useless to this reader; its leader may yet find a better one. */
  #fault: Problem | undefined;

  /** `wire`: see `wireKey`. */
  constructor(deps: GatewayDeps, run: Run, wire: string) {
    this.#deps = deps;
    this.#run = run;
    this.#wire = wire;
    this.live = run.live;
    this.client = run.request.dialect;
    this.upstream = run.request.dialect;
    this.wantsStream = run.stream;
    this.keep = run.keep;
    this.continues = continues(run);
    this.guards = deps.guards;
    this.limits = run.snapshot.limits;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Who waits is told of a stop by this alone; it may come before anybody waits.
    this.done.catch(() => {});
    run.wake = () => this.#stopped();
  }

  /** Plays a kept answer from its beginning. */
  play(kept: KeptAnswer, paced: boolean): void {
    this.#paced = paced && this.wantsStream;
    this.board(trackOf(kept.take, this.#paced));
    this.more();
  }

  get target(): ReplyContext["target"] {
    return this.#run.target;
  }

  get committed(): boolean {
    return this.live.committed;
  }

  board(track: Track): void {
    if (this.#over) return;
    const { source } = track;
    const upstream = this.#deps.dialects.get(source.dialect);
    if (!upstream) return this.fail({ kind: "internal", message: "A kept answer is in a language this gateway no longer knows." });
    const run = this.#run;
    this.#track = track;
    this.#next = 0;
    this.#fault = undefined;
    this.#startedMs = this.live.elapsedMs();
    run.target = { provider: source.provider, model: source.model };
    run.readyMs = this.#startedMs;
    this.provider = { id: source.provider };
    const sameWire = source.wire !== undefined && source.wire === this.#wire;
    // Kept turns are found by id, and this answer's id may be another turn's.
    if (run.keep) run.promisedId ??= this.client.newAnswerId?.(this.#deps.randomness.id(""));
    this.task = playedTask(this.#deps, run, upstream, source.model);
    this.forward = sameWire && !run.keep && run.slowReason === undefined;
    this.withholdUsage = this.forward && this.wantsStream && this.#withholds();
    this.upstream = sameWire || this.forward ? upstream : withoutEcho(upstream);
    run.forwarded = this.forward;
    this.#reply = openReply(this, { "content-type": source.contentType });
    run.reply = this.#reply;
  }

  more(): void {
    const track = this.#track;
    const reply = this.#reply;
    if (!track || !reply || this.#over || this.#fault || this.#paused) return;
    try {
      while (this.#next < track.pieces.length && reply.state !== "done") {
        if (!this.#due(track)) return;
        const piece = track.pieces[this.#next++];
        if (!piece || reply.data(piece)) continue;
        this.#paused = true;
        return;
      }
      if (reply.state !== "done" && !track.whole) return;
      const problem = reply.end();
      if (problem) throw new ProblemError(problem);
      this.#answered();
    } catch (error) {
      if (!(error instanceof ProblemError)) this.#deps.report(error, this.live.id);
      this.#fault = problemFrom(error);
      // While nothing was said, another try of the leader may serve this call as well.
      if (track.whole || this.committed) this.fail(this.#fault);
    }
  }

  /** The client can take more. */
  resume(): void {
    this.#paused = false;
    this.more();
  }

  lead(): void {
    if (this.#over) return;
    this.#leave();
    const run = this.#run;
    run.target = undefined;
    run.reply = undefined;
    run.promisedId = undefined;
    this.#resolve("lead");
  }

  fail(problem: Problem): void {
    if (this.#over) return;
    this.#leave();
    this.#reject(new ProblemError(problem));
  }

  #answered(): void {
    this.#leave();
    this.#run.report = this.#reply?.report();
    this.#resolve("answered");
  }

  #stopped(): void {
    this.fail(this.#run.stopped ?? { kind: "cancelled", message: "The call was stopped." });
  }

  #leave(): void {
    this.#over = true;
    this.#cancelTimer();
    this.#run.wake = undefined;
  }

  /** Is it time for the next piece? Otherwise comes back when it is. */
  #due(track: Track): boolean {
    if (!this.#paced) return true;
    const wait = (track.times[this.#next] ?? 0) - (this.live.elapsedMs() - this.#startedMs);
    if (wait <= 0) return true;
    this.#cancelTimer();
    this.#cancelTimer = this.#deps.clock.after(wait, () => this.more());
    return false;
  }

  /** Did this client leave the usage frame unasked that the answer holds? */
  #withholds(): boolean {
    const { request, document } = this.#run;
    if (!document) return false;
    const context = { operation: operationOf(this.#run), headers: request.headers, params: request.params };
    const target = { provider: this.provider.id, model: "", capabilities: { streamUsage: true } };
    return this.client.forwardCall(document.value, context, target).withholdUsage === true;
  }

  canonicalCall(): Call {
    return callOf(this.#run);
  }
  answerContext(): AnswerContext {
    return answerContext(this.#run);
  }
  shown(item: Item): Item {
    if (item.type !== "reasoning") return item;
    const carried = carriedText(this.#deps.seal, this.#run, callOf(this.#run), item);
    return carried === undefined ? item : { ...item, carried };
  }
  headers(): Record<string, string> {
    return answerHeaders(this.#run);
  }
  onOutput(): void {}
}

const mute = new WeakMap<Dialect, Dialect>();

/**
 * The same language, read without what its answers echo of the request: that was another caller's. What remains is encoded as an answer of
 * a foreign language is, with this caller's own words.
 */
function withoutEcho(dialect: Dialect): Dialect {
  let muted = mute.get(dialect);
  if (!muted) {
    muted = {
      ...dialect,
      decodeAnswer: (body, context) => ({ ...dialect.decodeAnswer(body, context), native: {} }),
      decodeEvents: (emit, context) => dialect.decodeEvents((event) => emit(unechoed(event)), context),
    };
    mute.set(dialect, muted);
  }
  return muted;
}

function unechoed(event: Event): Event {
  if (event.type !== "start" && event.type !== "done") return event;
  const { native: _native, ...rest } = event;
  return rest;
}
