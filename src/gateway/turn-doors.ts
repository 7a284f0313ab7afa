import { ProblemError, type Caller, type Dialect, type Door, type Json, type KeptTurn } from "../canon/index.ts";
import type { GatewayDeps } from "./run.ts";

/** Answers a door that acts on a kept turn. @throws ProblemError not_found */
export async function turnDoor(deps: GatewayDeps, dialect: Dialect, door: Door, caller: Caller, params: Readonly<Record<string, string>>): Promise<Json> {
  const id = params["id"] ?? "";
  if (door.does.kind !== "turn") throw new ProblemError({ kind: "internal", message: "This door opens no turn." });
  const running = deps.live.findRunning((call) => call.answerId === id && call.caller?.scope === caller.scope);
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

async function kept(deps: GatewayDeps, dialect: Dialect, caller: Caller, id: string): Promise<KeptTurn> {
  const turn = await deps.turns.read(caller.scope, id);
  if (!turn || turn.dialect !== dialect.id) throw missing(id);
  return turn;
}

function missing(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no kept answer "${id.slice(0, 100)}".`, code: "turn_not_found" });
}
