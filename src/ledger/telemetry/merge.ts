import type { Family } from "./exposition.ts";

/** What one process counts. */
export interface ProcessPage {
  /** Its name among the processes behind one address. */
  readonly process: string;
  readonly families: readonly Family[];
}

/**
 * One page of several processes. Counters and histograms are added up, those of processes that are gone among them; a gauge stands once for
 * each process that lives, under its name. What all of them say alike is the answering process's word, which comes first.
 */
export function mergePages(living: readonly ProcessPage[], gone: readonly Family[] = []): Family[] {
  const merged = new Map<string, Merged>();
  for (const [place, { process, families }] of living.entries()) {
    for (const family of families) {
      if (family.of === "record") {
        if (place === 0) familyIn(merged, family).put(family);
      } else if (family.kind === "gauge") familyIn(merged, family).putOf(process, family);
      else familyIn(merged, family).add(family);
    }
  }
  for (const family of gone) familyIn(merged, family).add(family);
  return [...merged.values()].map((one) => one.family());
}

/** What processes that are gone had counted, with one more of them. Their gauges went with them. */
export function addGone(gone: readonly Family[], page: readonly Family[]): Family[] {
  const merged = new Map<string, Merged>();
  for (const family of [...gone, ...page]) if (family.kind !== "gauge" && family.of === "process") familyIn(merged, family).add(family);
  return [...merged.values()].map((one) => one.family());
}

function familyIn(merged: Map<string, Merged>, family: Family): Merged {
  const known = merged.get(family.name);
  if (known) return known;
  const made = new Merged(family);
  merged.set(family.name, made);
  return made;
}

/** One family on its way onto the page, in the order in which its samples were first met. */
class Merged {
  readonly #head: Omit<Family, "names" | "values">;
  readonly #samples = new Map<string, number>();

  constructor({ name, kind, help, of }: Family) {
    this.#head = { name, kind, help, of };
  }
  put({ names, values }: Family): void {
    for (const [place, name] of names.entries()) this.#samples.set(name, values[place] ?? 0);
  }
  putOf(process: string, { names, values }: Family): void {
    for (const [place, name] of names.entries()) this.#samples.set(labelled(name, process), values[place] ?? 0);
  }
  add({ names, values }: Family): void {
    for (const [place, name] of names.entries()) this.#samples.set(name, (this.#samples.get(name) ?? 0) + (values[place] ?? 0));
  }
  family(): Family {
    return { ...this.#head, names: [...this.#samples.keys()], values: [...this.#samples.values()] };
  }
}

/** A name of ours needs no escaping. */
function labelled(name: string, process: string): string {
  return name.endsWith("}") ? `${name.slice(0, -1)},process="${process}"}` : `${name}{process="${process}"}`;
}
