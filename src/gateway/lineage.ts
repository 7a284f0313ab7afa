import type { LineageRecord } from "../canon/index.ts";
import { lineageOf, linksOf } from "../ledger/lineage/record.ts";
import { callOf, operationOf, type GatewayDeps, type Run } from "./run.ts";

/** What only those know who made the call's prompt or let it pass: each a hash or an id. Set on the run by whoever knows. */
export type LineageParts = Pick<LineageRecord, "template" | "redactions" | "chunks" | "approvals">;

/** Is what goes in and comes out to be recorded? One look for calls that nobody wants recorded. */
export function recordsLineage(run: Run): boolean {
  return (run.snapshot.aliases.get(run.model)?.lineage ?? run.snapshot.lineage) === true;
}

/** Records a call that is over. A record that cannot be kept is reported and costs nobody an answer. */
export async function keepLineage(deps: GatewayDeps, run: Run): Promise<void> {
  // A call that asked nobody has nothing to be traced; one without a caller belongs to nobody.
  if (!run.target || !run.caller || run.request.shadow || operationOf(run) !== "generate") return;
  const { live, caller, previousId, recalled, problem, reply } = run;
  try {
    const facts = {
      callId: live.id,
      callerId: caller.id,
      at: live.startedAt,
      turn: problem ? undefined : (run.promisedId ?? live.answerId ?? run.report?.id),
      previous: previousId,
      cacheOrigin: recalled?.status === "hit" ? recalled.origin : undefined,
    };
    const record = { ...lineageOf(facts, callOf(run), problem ? undefined : reply?.answer()), ...run.lineage };
    await deps.lineage.keep(record, linksOf(record));
  } catch (error) {
    deps.report(error, live.id);
  }
}
