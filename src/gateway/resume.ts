import {
  problemFrom,
  ProblemError,
  problemStatus,
  type Caller,
  type Dialect,
  type JournalEntry,
  type JournalPage,
  type Problem,
} from "../canon/index.ts";
import { asBuffer, frameWriter, streamHeaders } from "./framing.ts";
import type { LiveCall } from "./live.ts";
import type { Reader, Reading } from "./reader.ts";
import { problemHeaders } from "./refuse.ts";
import { JSON_TYPE } from "./reply.ts";
import type { GatewayDeps } from "./run.ts";

/** Bytes of frames fetched from the journal at a time. */
const PAGE_BYTES = 256 * 1024;
/** How often a call of another process is looked at for more, in milliseconds. */
const FOLLOW_MS = 50;
/** Looks without news after which it is asked whether the call is over: its end may have been lost. */
const LOOKS_PER_DOUBT = 40;
/** So many doubts in a row are certainty. */
const DOUBTS = 2;

export interface Resumption {
  readonly callId: string;
  readonly caller: Caller;
  /** Number of the last frame the reader has; 0: none. */
  readonly after: number;
  readonly reader: Reader;
}

type Deps = Pick<GatewayDeps, "clock" | "dialects" | "journal" | "ledger" | "live" | "snapshot">;

/**
 * Reads a call on: from memory while it has the frames, else from the journal, whichever process made them and whether or not it still
 * lives. Ends in the call's own last frame, or where that was lost in one problem in the call's own language.
 *
 * @throws ProblemError not_found (404, or 410 when the frames are no longer kept), invalid_request (416 behind the end)
 */
export async function resume(deps: Deps, resumption: Resumption): Promise<Reading> {
  const { callId, caller, after } = resumption;
  const pump = new Pump(deps, resumption);
  const live = deps.live.find(callId);
  if (live) {
    if (live.caller?.scope !== caller.scope) throw missingCall(callId);
    if (live.ended && live.streamed && after > live.last) throw behindEnd(callId, live.last, after);
    if (pump.sitAt(live)) return pump;
  }
  try {
    await begin(deps, pump, resumption, live);
  } catch (error) {
    pump.leave();
    throw error;
  }
  return pump;
}

async function begin(deps: Deps, pump: Pump, { callId, caller, after }: Resumption, live: LiveCall | undefined): Promise<void> {
  const now = deps.clock.now();
  const page = await deps.journal.read(callId, after, PAGE_BYTES, now, 0);
  if (!page || page.entry.scope !== caller.scope) {
    if (live) throw expired(callId, after);
    return pump.start(await withoutJournal(deps, callId, caller, now));
  }
  if (page.head?.whole) return pump.start(after === 0 ? page : await deps.journal.read(callId, 0, PAGE_BYTES, now, 0));
  const { last, state } = page.entry;
  if (state === "ended" && last !== undefined && after > last) throw behindEnd(callId, last, after);
  if (page.first > after + 1) throw expired(callId, after);
  pump.start(page);
}

/** Nothing was spilled: it runs elsewhere and is young, it died young, or it is long over. */
async function withoutJournal(deps: Deps, callId: string, caller: Caller, now: number): Promise<JournalPage> {
  const row = await deps.ledger.read(callId);
  const open = row ? undefined : await deps.ledger.readOpen(callId);
  const known = row ?? open;
  if (known?.callerId !== caller.id) throw missingCall(callId);
  const died = row?.state === "interrupted" && now - row.startedAt < deps.snapshot().limits.journalMs;
  if (row && !died) throw expired(callId, 0);
  const entry: JournalEntry = {
    callId,
    scope: caller.scope,
    dialect: known.dialect,
    node: open?.node ?? "",
    state: row ? "broken" : "open",
    beganAt: known.startedAt,
  };
  return { entry, head: undefined, first: 0, frames: [], more: false, next: 0 };
}

/** One reader on its way through a call: now seated at the live call, now fed from the journal. */
class Pump implements Reader, Reading {
  readonly #deps: Deps;
  readonly #callId: string;
  readonly #reader: Reader;
  /** Number of the last frame it got. */
  #after: number;
  #live: LiveCall | undefined;
  #answerId: string | undefined;
  /** Of the stream as its client got it: a language may have more framings than one. */
  #contentType: string | undefined;
  #begun = false;
  /** The head of a reader that has come with a number not reached yet: should the call end before, there is nothing to read. */
  #held: { readonly status: number; readonly headers: Readonly<Record<string, string>> } | undefined;
  #over = false;
  #full = false;
  #wake: (() => void) | undefined;

  constructor(deps: Deps, { callId, reader, after }: Resumption) {
    this.#deps = deps;
    this.#callId = callId;
    this.#reader = reader;
    this.#after = after;
  }

  /** False: what it needs is not in memory. */
  sitAt(live: LiveCall): boolean {
    this.#live = live;
    const seated = live.attach(this, this.#after, { leftBehind: (after) => this.#leftBehind(after) });
    return seated || this.#over;
  }

  /** Feeds it from the journal, beginning with this page. */
  start(page: JournalPage | undefined): void {
    void this.#feed(page).catch((error: unknown) => this.#fail(problemFrom(error), undefined));
  }

  // As a reader of the live call.
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.#over = true;
    this.#reader.whole(status, headers, body);
  }
  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.#contentType ??= headers["content-type"];
    if (this.#begun) return;
    this.#begun = true;
    if (this.#after > 0 && this.#after > (this.#live?.last ?? 0)) this.#held = { status, headers };
    else this.#reader.head(status, headers);
  }
  frames(frames: readonly Buffer[], first: number): boolean {
    this.#letGo();
    this.#after = first + frames.length - 1;
    this.#full = !this.#reader.frames(frames, first);
    return !this.#full;
  }
  end(): void {
    if (this.#over) return;
    const last = this.#live?.last;
    if (this.#held && last !== undefined && this.#after > last) return this.#tellBehindEnd(last, this.#live?.dialect);
    this.#over = true;
    this.#letGo();
    this.#reader.end();
  }

  // As whoever serves the reader.
  drained(): void {
    this.#full = false;
    this.#wake?.();
    this.#live?.drained(this);
  }
  leave(): void {
    this.#over = true;
    this.#wake?.();
    this.#live?.detach(this);
  }

  #letGo(): void {
    if (!this.#held) return;
    const { status, headers } = this.#held;
    this.#held = undefined;
    this.#reader.head(status, headers);
  }

  /** The call ended before it came to the number that this reader waits behind. */
  #tellBehindEnd(last: number, language: string | undefined): void {
    const { problem } = behindEnd(this.#callId, last, this.#after);
    const encoded = this.#deps.dialects.get(language ?? "")?.encodeProblem(problem, this.#callId);
    const headers = { "content-type": JSON_TYPE, "x-gimbal-call-id": this.#callId, ...problemHeaders(problem) };
    this.whole(encoded?.status ?? problemStatus(problem), headers, JSON.stringify(encoded?.body ?? { error: problem }));
  }

  #leftBehind(after: number): void {
    this.#after = after;
    void this.#goOn(0).catch((error: unknown) => this.#fail(problemFrom(error), undefined));
  }

  async #goOn(from: number): Promise<void> {
    await this.#untilDrained();
    await this.#feed(await this.#next(from));
  }

  async #feed(first: JournalPage | undefined): Promise<void> {
    let looks = 0;
    let doubts = 0;
    for (let page = first; !this.#over;) {
      if (!page) return this.#fail(lost(this.#callId), undefined);
      const { entry, head, frames } = page;
      this.#answerId ??= head?.answerId;
      this.#contentType ??= head?.headers["content-type"];
      if (head?.whole) return this.whole(head.status, head.headers, Buffer.concat(frames));
      if (frames.length > 0) {
        if (page.first > this.#after + 1) return this.#fail(lost(this.#callId), entry);
        const { status, headers } = head ?? plainHead(this.#callId, this.#language(entry));
        this.head(status, headers);
        this.frames(frames.map(asBuffer), page.first);
        looks = 0;
        await this.#untilDrained();
      } else if (!page.more) {
        if (head) this.head(head.status, head.headers);
        if (this.#sitAgain()) return;
        if (entry.state === "ended") return this.#finish(page);
        if (entry.state === "broken") return this.#fail(restarted(this.#callId), entry);
        if (++looks % LOOKS_PER_DOUBT === 0) doubts = (await this.#deps.ledger.read(this.#callId)) ? doubts + 1 : 0;
        if (doubts >= DOUBTS) return this.#fail(restarted(this.#callId), entry);
        await this.#pause(FOLLOW_MS);
      }
      if (this.#over || this.#sitAgain()) return;
      page = await this.#next(this.#begun ? page.next : 0, entry);
    }
  }

  async #next(from: number, known?: JournalEntry): Promise<JournalPage | undefined> {
    const { clock, journal } = this.#deps;
    const page = await journal.read(this.#callId, this.#after, PAGE_BYTES, clock.now(), from);
    if (page || !known || this.#begun) return page;
    // A call of another process that has told nothing yet: it may have ended meanwhile, or its process with it.
    const row = await this.#deps.ledger.read(this.#callId);
    // One that ended in order has its last words on their way to the journal.
    const state = row?.state === "interrupted" ? "broken" : "open";
    return { entry: { ...known, state }, head: undefined, first: 0, frames: [], more: false, next: 0 };
  }

  #finish({ entry, first }: JournalPage): void {
    // It ended, and something of it is missing: no clean end.
    if (entry.last !== undefined && entry.last > this.#after && first > this.#after + 1) return this.#fail(lost(this.#callId), entry);
    const told = this.#begun && !this.#held;
    if (!told && entry.last !== undefined && this.#after > entry.last) return this.#tellBehindEnd(entry.last, entry.dialect);
    if (!this.#begun) {
      const { status, headers } = plainHead(this.#callId, this.#language(entry));
      this.head(status, headers);
    }
    this.end();
  }

  /** Back to memory as soon as that has what comes next. */
  #sitAgain(): boolean {
    if (this.#over) return true;
    const live = this.#deps.live.find(this.#callId);
    return live !== undefined && live.caller !== undefined && this.sitAt(live);
  }

  /** The problem that ends the stream, numbered behind what the reader has. */
  #fail(problem: Problem, entry: JournalEntry | undefined): void {
    if (this.#over) return;
    this.#live?.detach(this);
    const dialect = this.#language(entry);
    const { status, headers } = plainHead(this.#callId, dialect);
    this.head(status, headers);
    const frames: Buffer[] = [];
    const answerId = this.#answerId ?? this.#live?.answerId;
    const begun = { frames: this.#after, ...(answerId !== undefined && { answerId }) };
    if (dialect) {
      const written = frameWriter(dialect);
      dialect.encodeProblemFrames(problem, this.#callId, (event, data) => frames.push(written(event, data)), begun);
    }
    if (frames.length > 0) this.frames(frames, this.#after + 1);
    this.end();
  }

  /** The language of the call, as the journal or the running call has it. */
  #language(entry: JournalEntry | undefined): Dialect | undefined {
    const dialect = this.#deps.dialects.get(entry?.dialect ?? this.#live?.dialect ?? "");
    return (this.#contentType !== undefined && dialect?.framedAs?.(this.#contentType)) || dialect;
  }

  async #untilDrained(): Promise<void> {
    while (this.#full && !this.#over) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** A reading that is still being opened; `refused` is told when it cannot be. Nobody waits for it. */
export function lateReading(opening: Promise<Reading>, refused: (error: unknown) => void): Reading {
  let reading: Reading | undefined;
  // Either may come before it is open: frames flow as soon as there are any.
  let [isDrained, isGone] = [false, false];
  const take = (opened: Reading): void => {
    reading = opened;
    if (isGone) opened.leave();
    else if (isDrained) opened.drained();
  };
  void opening.then(take, refused);
  return {
    drained: () => (reading ? reading.drained() : void (isDrained = true)),
    leave: () => (reading ? reading.leave() : void (isGone = true)),
  };
}

/** How a stream begins whose own head is lost. */
function plainHead(
  callId: string,
  dialect: Dialect | undefined,
): { readonly status: number; readonly headers: Readonly<Record<string, string>> } {
  return { status: 200, headers: { ...streamHeaders(dialect), "x-gimbal-call-id": callId } };
}

/** A call of somebody else looks like no call at all. */
export function missingCall(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no call "${id.slice(0, 64)}".` });
}

export function expired(id: string, after: number): ProblemError {
  return new ProblemError({
    kind: "not_found",
    status: 410,
    message: `Event ${after + 1} of call ${id} is no longer kept.`,
    code: "events_expired",
  });
}

function behindEnd(id: string, last: number, after: number): ProblemError {
  return new ProblemError({
    kind: "invalid_request",
    status: 416,
    message: `Call ${id} ended with event ${last}; there is nothing behind ${after}.`,
    param: "after",
  });
}

function restarted(id: string): Problem {
  return { kind: "gateway_restarted", message: `The gateway stopped while call ${id} ran; the rest of its answer was lost.` };
}

function lost(id: string): Problem {
  return { kind: "storage_unavailable", message: `A part of the events of call ${id} can no longer be read.` };
}
