/** Lines of one answer that are looked at; the rest is not read. */
const MOST_LINES = 50_000;

/** What a metric says over all of its label sets. */
export interface Metric {
  readonly sum: number;
  readonly largest: number;
}

/**
 * Reads some metrics of a text in Prometheus's exposition format 0.0.4, also as OpenMetrics 1.0 writes it. What is no number, or not finite,
 * is left out. Source: prometheus.io, "Exposition formats".
 */
export function readMetrics(text: string, names: ReadonlySet<string>): ReadonlyMap<string, Metric> {
  const found = new Map<string, Metric>();
  let start = 0;
  for (let line = 0; line < MOST_LINES && start < text.length; line++) {
    const next = text.indexOf("\n", start);
    const end = next < 0 ? text.length : next;
    const sample = text[start] === "#" ? undefined : sampleIn(text.slice(start, end), names);
    start = end + 1;
    if (!sample) continue;
    const before = found.get(sample.name);
    found.set(sample.name, {
      sum: (before?.sum ?? 0) + sample.value,
      largest: Math.max(before?.largest ?? Number.NEGATIVE_INFINITY, sample.value),
    });
  }
  return found;
}

function sampleIn(line: string, names: ReadonlySet<string>): { readonly name: string; readonly value: number } | undefined {
  const name = /^[A-Za-z_:][\w:]*/.exec(line)?.[0];
  if (name === undefined || !names.has(name)) return undefined;
  const rest = line[name.length] === "{" ? line.slice(endOfLabels(line, name.length)) : line.slice(name.length);
  // A time stamp or an exemplar may follow.
  const [value = ""] = rest.trim().split(/\s/);
  const number = value === "" ? Number.NaN : Number(value);
  return Number.isFinite(number) ? { name, value: number } : undefined;
}

/** Behind the brace that closes the labels; a label's text may hold braces itself. */
function endOfLabels(line: string, open: number): number {
  let quoted = false;
  for (let place = open + 1; place < line.length; place++) {
    const sign = line[place];
    if (sign === "\\" && quoted) place++;
    else if (sign === '"') quoted = !quoted;
    else if (sign === "}" && !quoted) return place + 1;
  }
  return line.length;
}
