import { Recording, takeOf, type Flight, type KeptAnswer } from "../cache/index.ts";
import type { Headers, Problem, StopReason } from "../canon/index.ts";
import type { Recalled } from "./recall.ts";
import type { AnswerReport, Reply } from "./reply.ts";
import type { GatewayDeps, Run } from "./run.ts";
import { taskOperation } from "./task.ts";

/** Endings at which an answer is all that was to be said. Cut by a limit, refused or filtered, another try may say more. */
const COMPLETE: ReadonlySet<StopReason> = new Set<StopReason>(["end", "tool_calls", "stop_sequence"]);

/** Where the answer of a leader comes in: what is read is recorded for those who wait and for those to come. */
export function tapped(
  deps: GatewayDeps,
  run: Run,
  reply: Reply,
  from: { readonly dialect: string; readonly provider: string; readonly model: string; readonly forward: boolean },
  headers: Headers,
): Reply {
  const { recalled } = run;
  const flight = recalled?.flight;
  if (!recalled || !flight || flight.over) return reply;
  if (run.live.committed) {
    // A stream that broke is being continued: neither half is an answer.
    flight.divert();
    return reply;
  }
  const { dialect, provider, model, forward } = from;
  const contentType = headers["content-type"] ?? "application/json";
  const recording = new Recording({
    dialect,
    provider,
    model,
    contentType,
    callId: run.live.id,
    wire: forward ? recalled.wire : undefined,
  });
  if (!flight.track) flight.board(recording);
  return new Tap({ deps, run, recalled, flight, recording, reply });
}

interface TapDeps {
  readonly deps: GatewayDeps;
  readonly run: Run;
  readonly recalled: Recalled;
  readonly flight: Flight;
  readonly recording: Recording;
  readonly reply: Reply;
}

/** A reply that is recorded while it is read. */
class Tap implements Reply {
  readonly #in: TapDeps;
  readonly #startedMs: number;
  /** Nobody can follow any more and the answer is not to be kept. */
  #given = false;

  constructor(deps: TapDeps) {
    this.#in = deps;
    this.#startedMs = deps.run.live.elapsedMs();
  }

  get state(): Reply["state"] {
    return this.#in.reply.state;
  }

  data(chunk: Buffer): boolean {
    const { reply, recording, flight, run } = this.#in;
    if (this.#given) return reply.data(chunk);
    const before = run.live.committed;
    recording.add(chunk, run.live.elapsedMs() - this.#startedMs);
    const more = reply.data(chunk);
    // An earlier or a racing try was followed so far: now it is known whose answer it is.
    if (!before && run.live.committed && flight.track !== recording) flight.board(recording);
    if (reply.state === "done") this.#land();
    else if (flight.track === recording) flight.wake();
    if (recording.bytes > this.#bound()) this.#giveUp();
    return more;
  }

  end(): Problem | undefined {
    const problem = this.#in.reply.end();
    if (!problem && this.#in.reply.state === "done") this.#land();
    return problem;
  }

  slowEnd(isOver: () => boolean): Promise<Problem | undefined> | undefined {
    const { reply } = this.#in;
    return reply.slowEnd?.(isOver)?.then((problem) => {
      if (!problem && reply.state === "done") this.#land();
      return problem;
    });
  }

  report(): AnswerReport {
    return this.#in.reply.report();
  }
  answer(): ReturnType<Reply["answer"]> {
    return this.#in.reply.answer();
  }

  #bound(): number {
    const { entryBytes, flightBytes } = this.#in.deps.recall.limits();
    return this.#in.flight.passengers > 0 ? Math.max(entryBytes, flightBytes) : entryBytes;
  }

  #giveUp(): void {
    if (this.#given) return;
    this.#given = true;
    this.#in.flight.divert();
  }

  #land(): void {
    if (this.#given) return;
    this.#given = true;
    const { deps, recording, flight } = this.#in;
    recording.whole = true;
    if (flight.track !== recording) flight.board(recording);
    this.#keep(deps);
    flight.land();
  }

  #keep({ recall: service, clock }: GatewayDeps): void {
    const { reply, recording, recalled, run } = this.#in;
    const { stop: ending, usage, outputCharacters } = reply.report();
    const saidSomething = taskOperation(run) !== undefined || outputCharacters > 0 || (usage?.output ?? 1) > 0;
    if (ending === undefined || !COMPLETE.has(ending) || !saidSomething || run.stopped) return;
    const { ttlMs, staleMs } = recalled.cache;
    const { provider, model } = recording.source;
    const createdAt = clock.now();
    const kept: KeptAnswer = {
      scope: recalled.scope,
      key: recalled.key,
      model: run.model,
      target: `${provider}/${model}`,
      tags: recalled.tags,
      createdAt,
      freshUntil: createdAt + ttlMs,
      expiresAt: createdAt + ttlMs + staleMs,
      take: takeOf(recording, usage),
    };
    void service.answers.keep(kept, recalled.generation);
  }
}
