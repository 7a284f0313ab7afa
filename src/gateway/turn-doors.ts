import {
  problemFrom,
  ProblemError,
  unfold,
  type Call,
  type Caller,
  type Dialect,
  type Door,
  type Json,
  type KeptTurn,
} from "../canon/index.ts";
import { cancelElsewhere } from "./elsewhere.ts";
import { frameWriter, streamHeaders } from "./framing.ts";
import type { LiveCall } from "./live.ts";
import type { Reader, Reading } from "./reader.ts";
import { resume } from "./resume.ts";
import type { GatewayDeps } from "./run.ts";

/** Answers a door that acts on a kept turn. @throws ProblemError not_found */
export async function turnDoor(
  deps: GatewayDeps,
  dialect: Dialect,
  door: Door,
  caller: Caller,
  params: Readonly<Record<string, string>>,
): Promise<Json> {
  const id = params["id"] ?? "";
  if (door.does.kind !== "turn") throw new ProblemError({ kind: "internal", message: "This door opens no turn." });
  const running = runningTurn(deps, caller, id);
  switch (door.does.action) {
    case "read":
      if (running?.pendingAnswer) return running.pendingAnswer();
      // Between its end and its turn: what it left is being put together.
      if (running?.ended) await running.whenSettled();
      return answerOf(deps, dialect, await kept(deps, dialect, caller, id));
    case "cancel":
      if (running) {
        running.stop({ kind: "cancelled", message: "The call was cancelled by its caller." });
        await running.whenSettled();
      } else await stopElsewhere(deps, dialect, caller, id);
      return answerOf(deps, dialect, await kept(deps, dialect, caller, id));
    case "delete": {
      if (!running) await stopElsewhere(deps, dialect, caller, id);
      // A stopped call leaves a turn as well, which is then what there is to delete.
      running?.stop({ kind: "cancelled", message: "The call was deleted by its caller." });
      await running?.whenSettled();
      if (!(await deps.turns.delete(caller.scope, id)) && !running) throw missing(id);
      return dialect.encodeDeleted?.(id) ?? { id, deleted: true };
    }
    case "items": {
      const turn = await kept(deps, dialect, caller, id);
      const items = await deps.turns.itemsBehind(caller.scope, turn);
      return dialect.encodeItems?.(items, params) ?? [];
    }
  }
}

/** The call under way whose answer a client knows under this id. */
function runningTurn(deps: GatewayDeps, caller: Caller, id: string): LiveCall | undefined {
  return deps.live.findRunning((call) => call.answerId === id && call.caller?.scope === caller.scope);
}

/**
 * Tells a kept answer as a stream, for a client that has its first `have` frames. One that was streamed is read on, as long as its frames
 * are journaled; any other is told anew once it is there. @throws ProblemError not_found
 */
export async function replayTurn(
  deps: GatewayDeps,
  dialect: Dialect,
  caller: Caller,
  id: string,
  have: number,
  reader: Reader,
): Promise<Reading> {
  const running = runningTurn(deps, caller, id);
  if (running?.streamed) return resume(deps, { callId: running.id, caller, after: have, reader });
  await running?.whenSettled();
  const streamed = await streamOf(deps, dialect, caller, id);
  if (streamed !== undefined) return resume(deps, { callId: streamed, caller, after: have, reader });
  const turn = await kept(deps, dialect, caller, id);
  const answer = await answerOf(deps, dialect, turn);
  const { createdAt } = turn;
  const frames: Buffer[] = [];
  const written = frameWriter(dialect);
  const emit = (event: string | undefined, data: string): void => void frames.push(written(event, data));
  try {
    const whole = dialect.decodeAnswer(answer, { operation: "generate" });
    const encoder = dialect.encodeEvents(emit, {
      call: callBehind(dialect),
      id,
      createdAt: whole.createdAt || Math.floor(createdAt / 1000),
    });
    for (const event of unfold(whole)) encoder.event(event);
  } catch (error) {
    // What is kept of a call that failed says why.
    dialect.encodeProblemFrames(problemFrom(error), id, emit, { frames: frames.length, answerId: id });
  }
  reader.head(200, streamHeaders(dialect));
  reader.frames(frames.slice(have), have + 1);
  reader.end();
  return NOTHING_MORE;
}

const NOTHING_MORE: Reading = { drained() {}, leave() {} };

/** The call whose journaled stream this answer is. A promise that another process is keeping is waited for: to be streamed, or to be over. */
async function streamOf(deps: GatewayDeps, dialect: Dialect, caller: Caller, id: string): Promise<string | undefined> {
  const { clock, journal, ledger } = deps;
  for (const until = clock.monotonic() + PROMISE_WAIT_MS; ;) {
    // A journal that cannot be read is no reason not to tell what is kept.
    const entry = await journal.findAnswer(caller.scope, id, clock.now()).catch(() => undefined);
    if (entry) {
      const page = entry.dialect === dialect.id ? await journal.read(entry.callId, 0, 1, clock.now(), 0) : undefined;
      return page?.head && !page.head.whole ? entry.callId : undefined;
    }
    const { promise } = await kept(deps, dialect, caller, id);
    if (!promise || clock.monotonic() >= until || (await ledger.read(promise.callId))) return undefined;
    await new Promise<void>((resolve) => clock.after(PROMISE_LOOK_MS, resolve));
  }
}

/** Everything about the call stands in its answer already. */
const callBehind = (dialect: Dialect): Call => ({
  operation: "generate",
  origin: { dialect: dialect.id },
  model: "",
  stream: true,
  items: [],
  tools: [],
  sampling: {},
  native: {},
  touched: new Set(),
});

/** How long a promised answer that another process makes is waited for by whoever wants it as a stream, in milliseconds. */
const PROMISE_WAIT_MS = 600_000;
const PROMISE_LOOK_MS = 100;
/** A row may be there a moment before the turn that goes with it. */
const LANDING_MS = 1000;
const LOOK_MS = 25;

/** What the client reads: the answer, or what became of it. */
async function answerOf(deps: GatewayDeps, dialect: Dialect, turn: KeptTurn): Promise<Json> {
  if (!turn.promise) return turn.answer;
  const row = await deps.ledger.read(turn.promise.callId);
  // It runs, in another process.
  if (!row) return turn.answer;
  const until = deps.clock.monotonic() + LANDING_MS;
  while (row.state !== "interrupted" && deps.clock.monotonic() < until) {
    const again = await deps.turns.read(turn.scope, turn.id);
    if (!again || again.dialect !== dialect.id) throw missing(turn.id);
    if (!again.promise) return again.answer;
    await new Promise<void>((resolve) => deps.clock.after(LOOK_MS, resolve));
  }
  return turn.promise.broken;
}

/** Stops the call behind a promise that another process is keeping. */
async function stopElsewhere(deps: GatewayDeps, dialect: Dialect, caller: Caller, id: string): Promise<void> {
  const { promise } = await kept(deps, dialect, caller, id);
  if (promise) await cancelElsewhere(deps, promise.callId, caller);
}

async function kept(deps: GatewayDeps, dialect: Dialect, caller: Caller, id: string): Promise<KeptTurn> {
  const turn = await deps.turns.read(caller.scope, id);
  if (!turn || turn.dialect !== dialect.id) throw missing(id);
  return turn;
}

function missing(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no kept answer "${id.slice(0, 100)}".`, code: "turn_not_found" });
}
