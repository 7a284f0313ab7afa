import type { Alias, AliasRule, Place, Requirements, Target } from "../canon/index.ts";
import { aliasCacheOf } from "../cache/options.ts";
import { nearest } from "../kit/index.ts";
import { DEFAULT_RETRIES } from "../routing/attempt-options.ts";
import { conditionFault } from "../routing/rules.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { readRelease } from "./release.ts";
import type { ConfigValues } from "./schema.ts";
import type { Path } from "./variables.ts";

/** Name under which the simulator is always there. */
export const SIM = "sim";

type WrittenModel = ConfigValues["models"][string];
type WrittenAlias = Exclude<WrittenModel, string>;
type WrittenTarget = WrittenAlias["targets"][number];
type WrittenRule = NonNullable<WrittenAlias["rules"]>[number];

/** What `models:` holds, and what is wrong with it. */
export interface AliasReading {
  readonly aliases: ReadonlyMap<string, Alias>;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

export function readAliases(values: ConfigValues, disabled: ReadonlyMap<string, string>, document: ConfigDocument): AliasReading {
  return new AliasReader(values, disabled, document).read();
}

/** Reads the aliases of one file. What a schema cannot see is checked here: names that must fit each other, and conditions. */
class AliasReader implements AliasReading {
  readonly aliases = new Map<string, Alias>();
  readonly problems: ConfigProblem[] = [];
  readonly warnings: ConfigProblem[] = [];
  readonly #values: ConfigValues;
  readonly #disabled: ReadonlyMap<string, string>;
  readonly #document: ConfigDocument;

  constructor(values: ConfigValues, disabled: ReadonlyMap<string, string>, document: ConfigDocument) {
    this.#values = values;
    this.#disabled = disabled;
    this.#document = document;
  }

  read(): this {
    for (const [name, model] of Object.entries(this.#values.models)) this.#readModel(name, model);
    this.#checkScorers();
    return this;
  }

  #readModel(name: string, model: WrittenModel): void {
    const path = ["models", name];
    const written = typeof model === "string" ? undefined : model;
    const faults = this.problems.length;
    const targets = written
      ? this.#targets(name, written.targets, [...path, "targets"])
      : this.#targets(name, [typeof model === "string" ? model : ""], path, true);
    if (targets.length === 0) {
      if (this.problems.length === faults)
        this.warnings.push(this.#document.problem(path, `The model ${name} is off: every provider behind it is.`, true));
      return;
    }
    const rules = written ? this.#rules(name, written, targets) : [];
    if (written) this.#checkStrategy(name, written);
    this.aliases.set(name, {
      name,
      targets,
      strategy: written?.strategy ?? "fallback",
      retries: written?.retries ?? DEFAULT_RETRIES,
      timeoutMs: written?.timeoutMs ?? this.#values.serve.limits.defaultTimeoutMs,
      continue: written?.continue ?? "never",
      ...(written && written.continue !== "never" && { maxContinuations: written.maxContinuations }),
      ...(written?.timeouts && { timeouts: present(written.timeouts) }),
      ...(written?.hedge && { hedge: present(written.hedge) }),
      ...(rules.length > 0 && { rules }),
      ...(written && { sticky: written.sticky }),
      ...(written?.requires && { requires: requirementsOf(written.requires) }),
      ...(written?.complexity && { complexity: written.complexity }),
      ...(written?.lineage !== undefined && { lineage: written.lineage }),
      ...(written?.cache && { cache: aliasCacheOf(written.cache) }),
      ...(written && this.#release(name, written)),
    });
  }

  #release(name: string, written: WrittenAlias): Pick<Alias, "canary" | "shadow" | "warm"> {
    const faults = this.problems.length;
    return readRelease(name, written, {
      targets: (entries, path, bare) => this.#targets(name, entries, path, bare),
      warn: (path, message) => {
        if (this.problems.length === faults) this.warnings.push(this.#document.problem(path, message, true));
      },
    });
  }

  /** Targets whose provider is on. `bare`: the one target is the value at `path` itself. */
  #targets(name: string, written: readonly WrittenTarget[], path: Path, bare = false): Target[] {
    const targets: Target[] = [];
    for (const [index, entry] of written.entries()) {
      const text = typeof entry === "string" ? entry : entry.target;
      const problem = this.#whyNoTarget(name, text);
      if (problem !== undefined) this.problems.push(this.#document.problem(bare ? path : [...path, index], `models.${name}: ${problem}`));
      else if (!this.#disabled.has(providerOf(text))) targets.push(targetOf(text, typeof entry === "string" ? undefined : entry));
    }
    return targets;
  }

  #rules(name: string, written: WrittenAlias, own: readonly Target[]): AliasRule[] {
    const rules: AliasRule[] = [];
    for (const [index, rule] of (written.rules ?? []).entries()) {
      const path = ["models", name, "rules", index];
      const called = rule.name ?? `rule ${index + 1}`;
      const fault = conditionFault(rule.when);
      if (fault !== undefined)
        this.problems.push(
          this.#document.problem([...path, "when"], `models.${name}: the condition of ${called} cannot be used. ${fault}`),
        );
      const faults = this.problems.length;
      const targets = this.#ruleTargets(name, written, rule, own, path);
      if (targets.length === 0 && this.problems.length === faults)
        this.warnings.push(
          this.#document.problem(
            path,
            `models.${name}: ${called} is off: every provider behind it is. Its calls go where the next rule says.`,
          ),
        );
      if (rule.strategy === "weighted") this.#checkWeights(`models.${name}: ${called}`, targets, path);
      if (targets.length > 0) rules.push({ name: called, when: rule.when, targets, ...(rule.strategy && { strategy: rule.strategy }) });
    }
    return rules;
  }

  #ruleTargets(name: string, written: WrittenAlias, rule: WrittenRule, own: readonly Target[], path: Path): Target[] {
    if (rule.targets) return this.#targets(name, rule.targets, [...path, "targets"]);
    const names = written.targets.map((entry) => (typeof entry === "string" ? entry : entry.target));
    const targets: Target[] = [];
    for (const [index, used] of (rule.use ?? []).entries()) {
      const found = own.find((target) => `${target.provider}/${target.model}` === used);
      if (found) targets.push(found);
      if (found || names.includes(used)) continue;
      const like = nearest(used, names);
      this.problems.push(
        this.#document.problem(
          [...path, "use", index],
          `models.${name}: "${used}" is none of its targets.${like ? ` Did you mean "${like}"?` : " Name it under `targets`."}`,
        ),
      );
    }
    return targets;
  }

  #checkStrategy(name: string, written: WrittenAlias): void {
    const path = ["models", name, "strategy"];
    if (written.strategy === "weighted") {
      const targets = written.targets.map((entry) => ({ weight: typeof entry === "string" ? 1 : entry.weight }));
      this.#checkWeights(`models.${name}`, targets, ["models", name, "targets"]);
      const canary = written.canary?.targets?.map((entry) => ({ weight: typeof entry === "string" ? 1 : entry.weight }));
      if (canary) this.#checkWeights(`models.${name}.canary`, canary, ["models", name, "canary", "targets"]);
    }
    if (written.strategy === "rules" && !written.rules)
      this.problems.push(
        this.#document.problem(path, `models.${name}.strategy: There are no \`rules\`. Write them, or choose another strategy.`),
      );
  }

  #checkWeights(where: string, targets: readonly { readonly weight: number }[], path: Path): void {
    if (targets.length === 0 || targets.some(({ weight }) => weight > 0)) return;
    this.problems.push(this.#document.problem(path, `${where}: The weights add up to 0, so no target could be drawn. Give one a weight.`));
  }

  #whyNoTarget(name: string, target: string): string | undefined {
    const slash = target.indexOf("/");
    if (slash < 1 || slash === target.length - 1) return this.#whyNotSplit(name, target);
    const provider = providerOf(target);
    const { providers } = this.#values;
    if (provider === SIM || Object.hasOwn(providers, provider) || this.#disabled.has(provider)) return undefined;
    const like = nearest(provider, [SIM, ...Object.keys(providers), ...this.#disabled.keys()]);
    return `There is no provider "${provider}" under \`providers:\`.${like ? ` Did you mean "${like}"?` : ""}`;
  }

  #whyNotSplit(name: string, target: string): string {
    const { models } = this.#values;
    if (!Object.hasOwn(models, target)) return `"${target}" is no target. A target is \`provider/model\`.`;
    const circle = circleFrom(name, target, (alias) => (Object.hasOwn(models, alias) ? namesIn(models[alias]) : []));
    const told = circle ? ` They would go in a circle: ${circle.join(" -> ")}.` : "";
    return `"${target}" is itself a model of this file.${told} A target is \`provider/model\`: name what stands behind it instead.`;
  }

  /** The model that rates calls is called like any other; if rating its calls took another rating, that could go on for ever. */
  #checkScorers(): void {
    const { models } = this.#values;
    const scorers = (name: string): readonly string[] => {
      const model = Object.hasOwn(models, name) ? models[name] : undefined;
      return typeof model === "object" && model.complexity ? [model.complexity.model] : [];
    };
    for (const name of Object.keys(models)) {
      const [scorer] = scorers(name);
      if (scorer === undefined) continue;
      const circle = circleFrom(name, scorer, scorers);
      const fault = circle
        ? `Calls would be rated in a circle: ${circle.join(" -> ")}. Name a model that needs no rating.`
        : Object.hasOwn(models, scorer)
          ? undefined
          : this.#whyNoTarget(name, scorer);
      if (fault !== undefined)
        this.problems.push(this.#document.problem(["models", name, "complexity", "model"], `models.${name}.complexity: ${fault}`));
    }
  }
}

/** Without the members that were left out. */
function present<T extends object>(written: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(written).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

function targetOf(text: string, written: Exclude<WrittenTarget, string> | undefined): Target {
  const place = placeOf(written ?? {});
  return {
    provider: providerOf(text),
    model: text.slice(text.indexOf("/") + 1),
    weight: written?.weight ?? 1,
    ...(place && { place }),
  };
}

/** Undefined where nothing is said. */
export function placeOf(written: { readonly region?: string | undefined; readonly residency?: string | undefined }): Place | undefined {
  const { region, residency } = written;
  if (region === undefined && residency === undefined) return undefined;
  return { ...(region !== undefined && { region }), ...(residency !== undefined && { residency }) };
}

function requirementsOf({ region, residency }: NonNullable<WrittenAlias["requires"]>): Requirements {
  return { ...(region && { region }), ...(residency && { residency }) };
}

function providerOf(target: string): string {
  return target.slice(0, Math.max(0, target.indexOf("/")));
}

function namesIn(model: WrittenModel | undefined): readonly string[] {
  if (model === undefined) return [];
  return typeof model === "string" ? [model] : model.targets.map((entry) => (typeof entry === "string" ? entry : entry.target));
}

/** The way from `next` back to `start`, with `start` at both ends; undefined when there is none. */
function circleFrom(start: string, next: string, follow: (name: string) => readonly string[]): readonly string[] | undefined {
  const seen = new Set<string>();
  const walk = (at: string, way: readonly string[]): readonly string[] | undefined => {
    if (at === start) return [...way, at];
    if (seen.has(at)) return undefined;
    seen.add(at);
    for (const further of follow(at)) {
      const found = walk(further, [...way, at]);
      if (found) return found;
    }
    return undefined;
  };
  return walk(next, [start]);
}
