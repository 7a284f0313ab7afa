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

/**
 * Samples of one name, flat because they travel between processes: `names` with their labels, as the page writes them. `of`: each process
 * has its own, or all of them say the same.
 */
export interface Family {
  readonly name: string;
  readonly kind: Kind;
  readonly help: string;
  readonly of: "process" | "record";
  readonly names: string[];
  readonly values: number[];
}

/** A page in Prometheus's text format. Source: prometheus.io, "Exposition formats", version 0.0.4. */
export class Exposition {
  readonly families: Family[] = [];

  /** Begins a family; samples until the next one belong to it. A name stands on a page once. */
  family(name: string, kind: Kind, help: string, of: Family["of"] = "process"): this {
    this.families.push({ name: `gimbal_${name}`, kind, help, of, names: [], values: [] });
    return this;
  }
  sample(value: number, labels: Labels = {}): this {
    this.#put("", labels, value);
    return this;
  }
  histogram(histogram: Histogram, labels: Labels = {}): this {
    let total = 0;
    for (const [place, count] of histogram.counts.entries()) {
      total += count;
      const bound = BOUNDS_MS[place];
      this.#put("_bucket", { ...labels, le: bound === undefined ? "+Inf" : String(bound / 1000) }, total);
    }
    this.#put("_sum", labels, histogram.sumMs / 1000);
    this.#put("_count", labels, total);
    return this;
  }
  text(): string {
    return textOf(this.families);
  }

  #put(suffix: string, labels: Labels, value: number): void {
    const family = this.families.at(-1);
    if (!family) return;
    const all = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    family.names.push(`${family.name}${suffix}${all.length > 0 ? `{${all.join(",")}}` : ""}`);
    family.values.push(value);
  }
}

/** The page of these families. */
export function textOf(families: readonly Family[]): string {
  const lines = families.flatMap(({ name, kind, help, names, values }) => [
    `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
    `# TYPE ${name} ${kind}`,
    ...names.map((sample, place) => `${sample} ${String(values[place])}`),
  ]);
  return `${lines.join("\n")}\n`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
