import { PROBLEM_KINDS, type Clock, type LedgerRow } from "../../canon/index.ts";
import type { LogsOptions } from "./options.ts";

export type LogLevel = LogsOptions["level"];

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Lines of the gateway: as they are, or as JSON objects with time, level and fields. */
export class Logs {
  readonly #write: (line: string) => void;
  readonly #clock: Clock;
  #options: LogsOptions;

  /** @param write takes one line, without its end */
  constructor(write: (line: string) => void, clock: Clock, options: LogsOptions) {
    this.#write = write;
    this.#clock = clock;
    this.#options = options;
  }

  configure(options: LogsOptions): void {
    this.#options = options;
  }

  readonly line = (message: string, level: LogLevel = "info"): void => this.#put(level, message, undefined);
  readonly warn = (message: string): void => this.#put("warn", message, undefined);
  readonly error = (message: string): void => this.#put("error", message, undefined);

  /** A call that is over, where calls are logged. No content, and no message of its problem, which may quote it. */
  call(row: LedgerRow): void {
    const { calls } = this.#options;
    if (calls === "none" || (row.problem === undefined && calls !== "all")) return;
    const level = row.problem === undefined ? "debug" : PROBLEM_KINDS[row.problem].log;
    if (RANK[level] < RANK[this.#options.level]) return;
    this.#put(level, `call ${row.callId} ${row.state}${row.problem === undefined ? "" : `: ${row.problem}`}`, {
      call: row.callId,
      state: row.state,
      problem: row.problem,
      model: row.model,
      target: row.target,
      caller: row.callerName,
      attempts: row.attempts.length,
      totalMs: Math.round(row.timings.totalMs),
      traceId: row.traceId,
    });
  }

  #put(level: LogLevel, message: string, fields: Readonly<Record<string, string | number | undefined>> | undefined): void {
    if (RANK[level] < RANK[this.#options.level]) return;
    if (this.#options.format === "text") return this.#write(fields ? `${message} ${words(fields)}` : message);
    this.#write(JSON.stringify({ time: new Date(this.#clock.now()).toISOString(), level, message, ...fields }));
  }
}

/** What the message does not say already. */
function words(fields: Readonly<Record<string, string | number | undefined>>): string {
  const { model, target, totalMs } = fields;
  return [`model=${String(model)}`, ...(target === undefined ? [] : [`target=${target}`]), `ms=${String(totalMs)}`]
    .join(" ")
    .replace(/[\r\n]/g, " ");
}
