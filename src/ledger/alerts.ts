import type { Clock } from "../canon/index.ts";

/** Something an operator should look at: once for each subject and hour, counted. */
export interface Alert {
  /** What it is about: `zero_cost`, `price_unknown`, ... */
  readonly kind: string;
  /** What it happened to: `provider/model`, a budget, a key. */
  readonly subject: string;
  readonly message: string;
  /** First and last time within its hour, milliseconds since 1970. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly count: number;
}

export interface AlertOptions {
  readonly clock: Clock;
  /** One line for the operator; the first of each subject and hour. */
  readonly log: (line: string) => void;
  /** Alerts kept; the oldest are forgotten first. */
  readonly most?: number;
}

export interface AlertText {
  readonly kind: string;
  readonly subject: string;
  readonly message: string;
  /** Only listed, not logged. */
  readonly quiet?: boolean;
}

const MOST_ALERTS = 1000;
const HOUR_MS = 3_600_000;

/** The alerts of this process. */
export class Alerts {
  readonly #options: AlertOptions;
  /** Oldest first. */
  readonly #alerts = new Map<string, Alert>();

  constructor(options: AlertOptions) {
    this.#options = options;
  }

  raise({ kind, subject, message, quiet = false }: AlertText): void {
    const { clock, log, most = MOST_ALERTS } = this.#options;
    const at = clock.now();
    const key = `${kind} ${subject} ${Math.floor(at / HOUR_MS)}`;
    const known = this.#alerts.get(key);
    this.#alerts.set(key, { kind, subject, message, firstAt: known?.firstAt ?? at, lastAt: at, count: (known?.count ?? 0) + 1 });
    if (known) return;
    const oldest = this.#alerts.keys().next();
    if (this.#alerts.size > most && !oldest.done) this.#alerts.delete(oldest.value);
    if (!quiet) log(`alert: ${message}`);
  }

  /** Newest first. */
  list(): readonly Alert[] {
    return [...this.#alerts.values()].toSorted((a, b) => b.lastAt - a.lastAt);
  }
}
