import { formatDollars, type AttemptRecord, type LedgerRow } from "../../canon/index.ts";
import { Attributes, type Attribute } from "./attributes.ts";
import { inferenceAttributes, operationName, SCHEMA_URL, type Semconv } from "./semconv.ts";
import { attemptSpanId, callSpanId, traceIdOf, type TraceParent } from "./trace.ts";

/** OTLP's numbers. Source: opentelemetry-proto, trace.proto. */
const KIND_SERVER = 2;
const KIND_CLIENT = 3;
const STATUS_ERROR = 2;

/** A span as OTLP writes it in JSON: ids in hex, times as decimal nanoseconds since 1970. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status?: { readonly code: number; readonly message: string };
}

/** A finished call and where it hangs. */
export interface FinishedCall {
  readonly row: LedgerRow;
  readonly parent: TraceParent | undefined;
}

export interface SpanWords {
  readonly semconv: Semconv;
  /** A provider's name in the configuration to the conventions' word for it. */
  readonly providerName: (provider: string) => string;
}

/**
 * The spans of one call, from its row alone: one for the call as it was served, below it one for each attempt at a model. Tokens stand at
 * the attempts only, so that a sum over spans counts them once. No prompt, no answer, no message of a problem: those may quote either.
 */
export function spansOf({ row, parent }: FinishedCall, words: SpanWords): readonly Span[] {
  const traceId = parent?.traceId ?? traceIdOf(row.callId);
  const callSpan = callSpanId(row.callId);
  const answering = answeringAttempt(row);
  return [
    {
      traceId,
      spanId: callSpan,
      ...(parent && { parentSpanId: parent.spanId }),
      name: `gimbal ${operationName(row.operation)} ${row.model}`.trimEnd(),
      kind: KIND_SERVER,
      ...times(row, 0, row.timings.totalMs),
      attributes: callAttributes(row),
      ...failed(row.problem),
    },
    ...row.attempts.map((attempt) => attemptSpan(row, attempt, attempt === answering, { traceId, callSpan }, words)),
  ];
}

function callAttributes(row: LedgerRow): readonly Attribute[] {
  const { timings, costNanodollars } = row;
  return new Attributes()
    .text("gimbal.call.id", row.callId)
    .text("gimbal.state", row.state)
    .text("gimbal.dialect", row.dialect)
    .text("gimbal.model", row.model)
    .text("gimbal.target", row.target)
    .text("gimbal.caller.id", row.callerId)
    .text("gimbal.caller.name", row.callerName)
    .text("gimbal.team", row.team)
    .text("gimbal.project", row.project)
    .text("gimbal.session", row.session)
    .text("gimbal.cache", row.cache)
    .text("gimbal.arm", row.arm)
    .flag("gimbal.shadow", row.shadow !== undefined)
    .flag("gimbal.stream", row.stream)
    .flag("gimbal.fast_path", row.fastPath)
    .flag("gimbal.usage.estimated", row.usage.estimated)
    .whole("gimbal.attempts", row.attempts.length)
    .whole("gimbal.config.version", row.configVersion)
    .text("gimbal.cost.usd", costNanodollars === undefined ? undefined : formatDollars(costNanodollars))
    .text("gimbal.price.version", row.priceVersion)
    .number("gimbal.ready_ms", timings.readyMs)
    .number("gimbal.first_output_ms", timings.firstOutputMs)
    .text("error.type", row.problem).list;
}

function attemptSpan(
  row: LedgerRow,
  attempt: AttemptRecord,
  answered: boolean,
  { traceId, callSpan }: { readonly traceId: string; readonly callSpan: string },
  { semconv, providerName }: SpanWords,
): Span {
  const slash = attempt.target.indexOf("/");
  const provider = attempt.target.slice(0, slash);
  const model = attempt.target.slice(slash + 1);
  const attributes = new Attributes();
  inferenceAttributes(attributes, { row, attempt, provider: providerName(provider), model, answered }, semconv);
  attributes
    .text("gimbal.call.id", row.callId)
    .text("gimbal.target", attempt.target)
    .flag("gimbal.hedge", attempt.hedge)
    .flag("gimbal.continues", attempt.continues);
  return {
    traceId,
    spanId: attemptSpanId(row.callId, attempt.startedMs, attempt.hedge),
    parentSpanId: callSpan,
    name: `${operationName(row.operation)} ${model}`,
    kind: KIND_CLIENT,
    ...times(row, attempt.startedMs, attempt.endedMs),
    attributes: attributes.list,
    ...failed(attempt.problem),
  };
}

/** The last that did not fail: what came after a failed one is what the caller got. */
function answeringAttempt(row: LedgerRow): AttemptRecord | undefined {
  return row.attempts.findLast((attempt) => attempt.problem === undefined && attempt.target === row.target);
}

function failed(problem: string | undefined): { readonly status?: Span["status"] & object } {
  return problem === undefined ? {} : { status: { code: STATUS_ERROR, message: problem } };
}

/** Milliseconds since the call began to nanoseconds since 1970; to the microsecond, because a number holds no more. */
function times(row: LedgerRow, fromMs: number, toMs: number): Pick<Span, "startTimeUnixNano" | "endTimeUnixNano"> {
  const nanoseconds = (ms: number): string => `${Math.round((row.startedAt + ms) * 1000)}000`;
  return { startTimeUnixNano: nanoseconds(fromMs), endTimeUnixNano: nanoseconds(Math.max(fromMs, toMs)) };
}

/** The body of `POST /v1/traces`. Source: opentelemetry-proto, collector/trace/v1, JSON encoding. */
export function exportRequest(calls: readonly FinishedCall[], words: SpanWords, service: string, node: string): string {
  const schemaUrl = SCHEMA_URL[words.semconv];
  const resource = new Attributes().text("service.name", service).text("service.instance.id", node).list;
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: resource },
        scopeSpans: [
          {
            scope: { name: "gimbal" },
            spans: calls.flatMap((call) => spansOf(call, words)),
            ...(schemaUrl !== undefined && { schemaUrl }),
          },
        ],
      },
    ],
  });
}
