import type { Clock, LedgerRow } from "../../canon/index.ts";
import { CallMetrics } from "./call-metrics.ts";
import { Exporter, noExports, type ExportCounts, type Sender } from "./exporter.ts";
import type { Exposition } from "./exposition.ts";
import type { Logs } from "./logs.ts";
import type { OtlpOptions, TelemetryOptions } from "./options.ts";
import { attemptSpanId, formatTraceparent, isInSample, readTraceparent, traceIdOf, type TraceParent } from "./trace.ts";

export { Exposition, EXPOSITION_TYPE, textOf, type Family } from "./exposition.ts";
export { addGone, mergePages, type ProcessPage } from "./merge.ts";
export type { Sender, SendOutcome } from "./exporter.ts";
export { Logs, type LogLevel } from "./logs.ts";
export { logsOptions, telemetryOptions, type LogsOptions, type OtlpOptions, type TelemetryOptions } from "./options.ts";

export interface TelemetryDeps {
  readonly clock: Clock;
  readonly logs: Logs;
  /** This running gateway. */
  readonly node: string;
  readonly options: TelemetryOptions;
  /** Is there an alias of this name? */
  readonly isListed: (model: string) => boolean;
  /** The conventions' word for a provider of the configuration in force. */
  readonly providerName: (provider: string) => string;
  /** The way to a collector. */
  readonly sender: (otlp: OtlpOptions) => Sender;
}

/** What is told of calls to the outside: counted, logged, exported. One for a process. */
export class Telemetry {
  readonly #deps: TelemetryDeps;
  readonly #metrics: CallMetrics;
  readonly #exports: ExportCounts = noExports();
  #options: TelemetryOptions;
  #exporter: Exporter | undefined;
  readonly #closing = new Set<Promise<void>>();

  constructor(deps: TelemetryDeps) {
    this.#deps = deps;
    this.#metrics = new CallMetrics(deps.isListed);
    this.#options = deps.options;
    this.#exporter = this.#open(deps.options);
  }

  /** Takes over changed options. What waits for an export goes the old way. */
  configure(options: TelemetryOptions): void {
    if (JSON.stringify(shown(options)) === JSON.stringify(shown(this.#options))) return;
    const old = this.#exporter;
    this.#options = options;
    this.#exporter = this.#open(options);
    if (!old) return;
    const closing = old.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** A call is over. @param header its `traceparent`, as it came */
  called(row: LedgerRow, header: string | undefined): void {
    this.#metrics.called(row);
    this.#deps.logs.call(row);
    const exporter = this.#exporter;
    if (!exporter) return;
    const parent = readTraceparent(header);
    if (this.#records(row.callId, parent)) exporter.add({ row, parent });
  }

  /** A call's row is durable so many milliseconds after its end. */
  recorded(ms: number): void {
    this.#metrics.recorded(ms);
  }

  /**
   * The `traceparent` of an attempt, undefined: none is sent. Where the call is exported it names the attempt's own span; where it is not,
   * the caller's goes on as it came, because a span that nobody records would leave a gap in the trace.
   */
  traceparent(
    callId: string,
    header: string | undefined,
    provider: string,
    startedMs: number,
    hedge: true | undefined,
  ): string | undefined {
    if (header === undefined && !this.#exporter) return undefined;
    if (!this.#mayPropagate(provider)) return undefined;
    const parent = readTraceparent(header);
    if (!this.#exporter || !this.#records(callId, parent)) return parent && formatTraceparent(parent);
    const spanId = attemptSpanId(callId, startedMs, hedge);
    return formatTraceparent({ traceId: parent?.traceId ?? traceIdOf(callId), spanId, sampled: true });
  }

  write(page: Exposition): void {
    this.#metrics.write(page);
    const { exported, full, unreachable, refused } = this.#exports;
    page.family("telemetry_exported_total", "counter", "Calls whose spans a collector took.").sample(exported);
    page.family("telemetry_dropped_total", "counter", "Calls whose spans were dropped, by why.");
    page.sample(full, { reason: "queue_full" }).sample(unreachable, { reason: "unreachable" }).sample(refused, { reason: "refused" });
    page.family("telemetry_queue", "gauge", "Calls that wait for their export.").sample(this.#exporter?.waiting ?? 0);
  }

  /** Exports what is left, for a few seconds at most. */
  async close(): Promise<void> {
    await Promise.all([this.#exporter?.close(), ...this.#closing]);
  }

  #records(callId: string, parent: TraceParent | undefined): boolean {
    if (parent) return parent.sampled;
    const { sample } = this.#options;
    return sample >= 1 || isInSample(traceIdOf(callId), sample);
  }

  #mayPropagate(provider: string): boolean {
    const { propagate } = this.#options;
    if (typeof propagate === "string") return propagate === "all";
    return propagate.includes(provider);
  }

  #open({ otlp, semconv }: TelemetryOptions): Exporter | undefined {
    if (!otlp) return undefined;
    const { clock, logs, node, providerName, sender } = this.#deps;
    const { service, batchCalls, queueCalls, everyMs } = otlp;
    return new Exporter({
      clock,
      node,
      service,
      batchCalls,
      queueCalls,
      everyMs,
      words: { semconv, providerName },
      sender: sender(otlp),
      counts: this.#exports,
      log: logs.warn,
    });
  }
}

/** Two headers that differ are two options, though neither can be printed. */
function shown({ otlp, ...rest }: TelemetryOptions): object {
  if (!otlp) return rest;
  return { ...rest, otlp: { ...otlp, headers: Object.entries(otlp.headers).map(([name, secret]) => [name, secret.reveal()]) } };
}
