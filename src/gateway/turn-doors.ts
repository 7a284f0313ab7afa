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
import { formatFrame } from "../kit/index.ts";
import type { LiveCall, Reader, Reading } from "./live.ts";
import { STREAM_TYPE } from "./reply.ts";
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
      return (await kept(deps, dialect, caller, id)).answer;
    case "cancel":
      if (running) {
        running.stop({ kind: "cancelled", message: "The call was cancelled by its caller." });
        await running.whenSettled();
      }
      return (await kept(deps, dialect, caller, id)).answer;
    case "delete": {
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
  const journaled = await deps.journal.findAnswer(caller.scope, id, deps.clock.now());
  if (journaled?.dialect === dialect.id && (await isStream(deps, journaled.callId)))
    return resume(deps, { callId: journaled.callId, caller, after: have, reader });
  const { answer, createdAt } = await kept(deps, dialect, caller, id);
  const frames: Buffer[] = [];
  const emit = (event: string | undefined, data: string): void => void frames.push(Buffer.from(formatFrame(event, data)));
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
  reader.head(200, { "content-type": STREAM_TYPE, "cache-control": "no-cache" });
  reader.frames(frames.slice(have), have + 1);
  reader.end();
  return NOTHING_MORE;
}

const NOTHING_MORE: Reading = { drained() {}, leave() {} };

async function isStream(deps: GatewayDeps, callId: string): Promise<boolean> {
  const page = await deps.journal.read(callId, 0, 1, deps.clock.now(), 0);
  return page?.head !== undefined && !page.head.whole;
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

async function kept(deps: GatewayDeps, dialect: Dialect, caller: Caller, id: string): Promise<KeptTurn> {
  const turn = await deps.turns.read(caller.scope, id);
  if (!turn || turn.dialect !== dialect.id) throw missing(id);
  return turn;
}

function missing(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no kept answer "${id.slice(0, 100)}".`, code: "turn_not_found" });
}
