import { createHash } from "node:crypto";
import { ProblemError, type Caller, type HeldKey, type Json, type ProblemKind, type RepeatableAnswer } from "../canon/index.ts";
import { whenOver } from "./elsewhere.ts";
import type { Reader } from "./reader.ts";
import { lateReading, resume } from "./resume.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";

/** How long a key is kept, in milliseconds. */
const KEY_MS = 24 * 3_600_000;
/** An answer larger than this, in bytes, is not kept for repetition. */
const ANSWER_BYTES = 8 * 1024 * 1024;
/** A call whose holder is unknown here may just have begun or just have ended: so long it is waited for, in milliseconds. */
const DOUBT_MS = 1000;

/** Failures that the same request would meet again: they are repeated like any answer. Others set the key free when nothing was paid. */
const LASTING: ReadonlySet<ProblemKind> = new Set<ProblemKind>(["invalid_request", "upstream_rejected", "too_large"]);

/** A key that this call holds. */
export interface KeyHold {
  readonly scope: string;
  readonly key: string;
  readonly recorder: Recorder;
}

/**
 * A request with an idempotency key. True: it repeats an earlier one, and its client is served with the answer of that: from the call if
 * that still runs, from the store otherwise. False: the key is this call's own, or there is none.
 *
 * A call that a crash cut off: where something had been spilled of it, that is told, and then that the gateway restarted; where nothing
 * had, nobody has seen any of its answer and it is made anew.
 *
 * @throws ProblemError conflict, when the key came with another request, or its answer was too large to be kept
 */
export async function repeats(deps: GatewayDeps, run: Run): Promise<boolean> {
  const { caller, live, wishes, request } = run;
  const key = wishes.idempotencyKey;
  // Of a connection that carries many calls the headers say nothing about one of them.
  if (key === undefined || !caller || request.connection) return false;
  const now = deps.clock.now();
  const claim = { scope: caller.scope, key, fingerprint: fingerprintOf(run), callId: live.id, node: deps.node, expiresAt: now + KEY_MS };
  for (let instead: string | undefined; ;) {
    const held = await deps.idempotency.claim(claim, now, instead);
    if (!held) {
      hold(deps, run, caller, key);
      return false;
    }
    if (held.fingerprint !== claim.fingerprint) throw otherRequest();
    const fate = await fateOf(deps, caller, key, held);
    if (fate === "gone") instead = held.callId;
    else if (fate !== "changed") {
      if (fate === "readable") join(deps, run, held.callId, caller);
      else tell(run, fate);
      return true;
    }
  }
}

/** When the call is over: its answer is kept, or the key is free again. */
export async function settleKey(deps: GatewayDeps, run: Run, { scope, key, recorder }: KeyHold): Promise<void> {
  if (isFree(run)) return deps.idempotency.release(scope, key, run.live.id);
  const { answer } = recorder;
  if (answer && !recorder.isKept) await deps.idempotency.keep(scope, key, run.live.id, answer);
}

function isFree({ problem, live, background, attempts }: Run): boolean {
  if (!problem || live.streamed || background || LASTING.has(problem.kind)) return false;
  return attempts.every(({ usage, status }) => usage === undefined && (status === undefined || status > 299));
}

function hold(deps: GatewayDeps, run: Run, caller: Caller, key: string): void {
  const { live } = run;
  // A background call's answer is the promise, which comes long before its end.
  const early = (answer: RepeatableAnswer): void => {
    if (run.background)
      void deps.idempotency.keep(caller.scope, key, live.id, answer).catch((error: unknown) => deps.report(error, live.id));
  };
  const recorder = new Recorder(early, () => run.background);
  run.claim = { scope: caller.scope, key, recorder };
  live.attach(recorder, 0, { witness: true });
}

/** `changed`: the key is to be looked at anew. */
type Fate = RepeatableAnswer | "readable" | "gone" | "changed";

async function fateOf(deps: GatewayDeps, caller: Caller, key: string, held: HeldKey): Promise<Fate> {
  const { callId } = held;
  if (held.answer) return held.answer;
  if (deps.live.findRunning((call) => call.id === callId)) return "readable";
  const known = (await deps.ledger.read(callId)) ?? (await deps.ledger.readOpen(callId));
  if (known && !("state" in known)) return "readable";
  // It has just begun elsewhere, or has just ended and its answer is on its way to the store.
  const over = known !== undefined || (await whenOver(deps, callId, DOUBT_MS));
  const row = over ? await deps.ledger.read(callId) : undefined;
  const journaled = (await deps.journal.find(callId, deps.clock.now())) !== undefined;
  if (!row) return journaled || (await deps.ledger.readOpen(callId)) ? "readable" : "gone";
  if (row.state === "interrupted") return journaled ? "readable" : "gone";
  for (const until = deps.clock.monotonic() + DOUBT_MS; deps.clock.monotonic() < until;) {
    const again = await deps.idempotency.read(caller.scope, key, deps.clock.now());
    if (again?.callId !== callId) return "changed";
    if (again.answer) return again.answer;
    await new Promise<void>((resolve) => deps.clock.after(LOOK_MS, resolve));
  }
  if (journaled) return "readable";
  throw new ProblemError({
    kind: "conflict",
    message: `The answer to the first request with this idempotency key (call ${callId}) was not kept. Use another key to ask again.`,
    code: "answer_not_kept",
  });
}

const LOOK_MS = 25;

/** The client reads the other call, from its beginning; this one says nothing. */
function join(deps: GatewayDeps, run: Run, callId: string, caller: Caller): void {
  run.live.yieldTo((reader) =>
    lateReading(resume(deps, { callId, caller, after: 0, reader }), (error) => {
      const problem = error instanceof ProblemError ? error.problem : { kind: "internal" as const, message: "The call cannot be read." };
      const { status, body } = run.request.dialect.encodeProblem(problem, run.live.id);
      reader.whole(status, { "content-type": "application/json", "x-gimbal-problem": problem.kind }, JSON.stringify(body));
    }),
  );
}

/** The answer of the first call, byte for byte, its id included. */
function tell({ live }: Run, { head, frames }: RepeatableAnswer): void {
  // It is kept where it came from.
  live.spiller = undefined;
  live.durable = false;
  if (head.whole) return live.whole(head.status, head.headers, Buffer.concat(frames));
  live.head(head.status, head.headers);
  for (const frame of frames) live.frame(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength));
  live.end();
}

function otherRequest(): ProblemError {
  return new ProblemError({
    kind: "conflict",
    message: "This idempotency key was used for another request. Use a new key for a new request.",
    code: "idempotency_key_reused",
  });
}

/** The same for requests that mean the same: who serves it, where, and the body without its spacing and the order of its members. */
function fingerprintOf(run: Run): string {
  const { dialect, door, params } = run.request;
  const said = [dialect.id, door.path, operationOf(run), sorted(params), sorted(run.document?.value ?? null)];
  return createHash("sha256").update(JSON.stringify(said)).digest("base64url");
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value as Readonly<Record<string, Json>>).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

/** Looks on and remembers all that a client was told. */
class Recorder implements Reader {
  isKept = false;
  readonly #early: (answer: RepeatableAnswer) => void;
  readonly #isEarly: () => boolean;
  #head: RepeatableAnswer["head"] | undefined;
  #frames: Buffer[] = [];
  #bytes = 0;

  constructor(early: (answer: RepeatableAnswer) => void, isEarly: () => boolean) {
    this.#early = early;
    this.#isEarly = isEarly;
  }

  /** Undefined when nothing was said, or too much. */
  get answer(): RepeatableAnswer | undefined {
    return this.#head && this.#bytes <= ANSWER_BYTES ? { head: this.#head, frames: this.#frames } : undefined;
  }

  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.#head = { status, headers, whole: true };
    this.#add(Buffer.from(body));
    const { answer } = this;
    if (!answer || !this.#isEarly()) return;
    this.isKept = true;
    this.#early(answer);
  }
  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.#head = { status, headers };
  }
  frames(frames: readonly Buffer[]): boolean {
    for (const frame of frames) this.#add(frame);
    return true;
  }
  end(): void {}

  #add(frame: Buffer): void {
    this.#bytes += frame.length;
    if (this.#bytes <= ANSWER_BYTES) this.#frames.push(frame);
    else this.#frames = [];
  }
}
