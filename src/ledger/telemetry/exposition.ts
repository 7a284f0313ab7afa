/** A histogram in seconds. Counting is a few comparisons and two additions. */
export class Histogram {
  /** Each bucket's own; they are summed up when they are read. */
  readonly counts = new Float64Array(BOUNDS_MS.length + 1);
  sumMs = 0;

  observe(ms: number): void {
    let place = 0;
    while (place < BOUNDS_MS.length && ms > (BOUNDS_MS[place] ?? 0)) place++;
    this.counts[place] = (this.counts[place] ?? 0) + 1;
    this.sumMs += ms;
  }
}

/** From half a millisecond, the gateway's own work, to the length of a long answer. */
const BOUNDS_MS: readonly number[] = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000,
];

export type Labels = Readonly<Record<string, string>>;
type Kind = "counter" | "gauge" | "histogram";

export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A page in Prometheus's text format. Source: prometheus.io, "Exposition formats", version 0.0.4. */
export class Exposition {
  readonly #lines: string[] = [];
  readonly #always: Labels;
  #name = "";

  /** @param always labels of every sample */
  constructor(always: Labels = {}) {
    this.#always = always;
  }

  /** Begins a family; samples until the next one belong to it. A name stands on a page once. */
  family(name: string, kind: Kind, help: string): this {
    this.#name = `gimbal_${name}`;
    this.#lines.push(`# HELP ${this.#name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`, `# TYPE ${this.#name} ${kind}`);
    return this;
  }
  sample(value: number, labels: Labels = {}): this {
    this.#put(this.#name, labels, value);
    return this;
  }
  histogram(histogram: Histogram, labels: Labels = {}): this {
    let total = 0;
    for (const [place, count] of histogram.counts.entries()) {
      total += count;
      const bound = BOUNDS_MS[place];
      this.#put(`${this.#name}_bucket`, { ...labels, le: bound === undefined ? "+Inf" : String(bound / 1000) }, total);
    }
    this.#put(`${this.#name}_sum`, labels, histogram.sumMs / 1000);
    this.#put(`${this.#name}_count`, labels, total);
    return this;
  }
  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  #put(name: string, labels: Labels, value: number): void {
    const all = Object.entries({ ...labels, ...this.#always }).map(([label, text]) => `${label}="${escaped(text)}"`);
    this.#lines.push(`${name}${all.length > 0 ? `{${all.join(",")}}` : ""} ${Number.isNaN(value) ? "NaN" : String(value)}`);
  }
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
