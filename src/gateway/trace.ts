import type { Target } from "../canon/index.ts";
import type { Addressed } from "./address.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** The call with the trace that its attempt belongs to, where there is one. */
export function traced(
  deps: GatewayDeps,
  run: Run,
  address: Addressed,
  target: Target,
  startedMs: number,
  hedge: true | undefined,
): Addressed {
  const header = run.request.headers["traceparent"];
  const traceparent = deps.telemetry?.traceparent(run.live.id, header, target.provider, startedMs, hedge);
  if (traceparent === undefined) return address;
  const { call } = address;
  return { ...address, call: { ...call, request: { ...call.request, headers: { ...call.request.headers, traceparent } } } };
}
