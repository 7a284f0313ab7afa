import type { CounterHold, LedgerRow, OpenRecord } from "../canon/index.ts";
import { interruptedRow } from "./ledger-values.ts";

/** A call just begun, as every engine has it in its table; the last three come from its key, where it has one. */
export interface OpenColumns {
  readonly call_id: string;
  readonly started_at: number;
  readonly caller_id: string;
  readonly model: string;
  readonly dialect: string;
  readonly input_estimate: number;
  readonly node: string;
  readonly holds: string | null;
  readonly caller_name?: string | null;
  readonly team?: string | null;
  readonly project?: string | null;
}

export function openOf(columns: OpenColumns): OpenRecord {
  return {
    callId: columns.call_id,
    startedAt: columns.started_at,
    callerId: columns.caller_id,
    model: columns.model,
    dialect: columns.dialect,
    inputEstimate: columns.input_estimate,
    node: columns.node,
    ...(columns.holds !== null && { holds: JSON.parse(columns.holds) as CounterHold[] }),
  };
}

export function rowOfOpen(columns: OpenColumns, priceVersion: string, at: number): LedgerRow {
  return interruptedRow({
    record: openOf(columns),
    callerName: columns.caller_name ?? columns.caller_id,
    ...(typeof columns.team === "string" && { team: columns.team }),
    ...(typeof columns.project === "string" && { project: columns.project }),
    priceVersion,
    at,
  });
}
