import {
  isTask,
  TASKS,
  type Alias,
  type ModelBook,
  type ModelOperation,
  type Requirements,
  type Snapshot,
  type Target,
  type TaskOperation,
} from "../canon/index.ts";
import { placeOfTarget } from "../models/index.ts";
import { hasGaps, lacks, outOfPlace, unknowns } from "./capabilities.ts";
import type { CallFacts } from "./facts.ts";

/** An estimate of the input is off by no more than this factor either way; nearer to the limit the tokens are counted. */
const ESTIMATE_FACTOR = 2;
/** Vocabularies differ: a count may be this much too high before a call is kept from a model. */
const COUNT_SLACK = 0.9;

type FitBook = Pick<ModelBook, "facts" | "countTokens">;

/** Can a target take a call at all? Everything that decides it, for one call. */
export class Fit {
  readonly #snapshot: Snapshot;
  readonly #facts: CallFacts;
  readonly #book: FitBook | undefined;
  readonly #required: readonly Requirements[] | undefined;
  #counted: Map<string, number> | undefined;

  constructor(snapshot: Snapshot, alias: Alias, facts: CallFacts, book: FitBook | undefined) {
    this.#snapshot = snapshot;
    this.#facts = facts;
    this.#book = book;
    const ofKey = facts.caller.scopes.requires;
    const ofCall = facts.requires;
    if (alias.requires ?? ofKey ?? ofCall)
      this.#required = [alias.requires, ofKey, ofCall].filter((requirements) => requirements !== undefined);
  }

  /** Why the target cannot take the call, in words that follow its name; undefined when it can, or nobody knows. */
  fault(target: Target): string | undefined {
    const { operation } = this.#facts.source;
    if (isTask(operation)) return this.#outOfPlace(target) ?? this.#unfit(target, operation);
    if (operation === "realtime") return this.#outOfPlace(target) ?? this.#unspoken(target);
    if (this.#answers && !this.#does(target, "generate")) return this.#outOfPlace(target) ?? "takes no conversations";
    return this.#outOfPlace(target) ?? (this.#answers ? (this.#incapable(target) ?? this.#tooLong(target)) : undefined);
  }

  /** What is not known of a target and was not held against it; for explanations only. */
  doubts(target: Target): readonly string[] {
    const capabilities = this.#snapshot.providers.get(target.provider)?.capabilities(target.model);
    const doubts = capabilities
      ? unknowns(capabilities, this.#facts.needs).map((need) => `whether it takes ${need === "structuredOutput" ? "a JSON Schema" : need}`)
      : [];
    if (this.#book && this.#book.facts(target.provider, target.model)?.contextTokens === undefined) doubts.push("how much it can read");
    return doubts;
  }

  /** Counting tokens and the like ask nothing of the model. */
  get #answers(): boolean {
    return this.#facts.source.operation === "generate";
  }

  #outOfPlace(target: Target): string | undefined {
    if (!this.#required) return undefined;
    return outOfPlace(placeOfTarget(target, this.#snapshot.places), ...this.#required);
  }

  #incapable(target: Target): string | undefined {
    const capabilities = this.#snapshot.providers.get(target.provider)?.capabilities(target.model);
    return capabilities && hasGaps(capabilities) ? lacks(capabilities, this.#facts.needs) : undefined;
  }

  #unspoken(target: Target): string | undefined {
    const provider = this.#snapshot.providers.get(target.provider);
    return (provider && !provider.realtime) || !this.#does(target, "realtime") ? "takes no realtime sessions" : undefined;
  }

  /** Nobody knows of a model without `operations` what it cannot do. */
  #does(target: Target, operation: ModelOperation): boolean {
    return this.#book?.facts(target.provider, target.model)?.operations?.includes(operation) ?? true;
  }

  /** A provider that is not there is told by whoever asks it. */
  #unfit(target: Target, operation: TaskOperation): string | undefined {
    const provider = this.#snapshot.providers.get(target.provider);
    const support = provider?.tasks?.[operation];
    if ((provider && !support) || !this.#does(target, operation)) return `takes no ${TASKS[operation].plural}`;
    return support && this.#facts.source.excess?.(support, target);
  }

  #tooLong(target: Target): string | undefined {
    const known = this.#book?.facts(target.provider, target.model);
    const most = known?.contextTokens;
    if (most === undefined) return undefined;
    const { source } = this.#facts;
    // A character is hardly ever more than a token, and no answer is longer than the model can make it: most calls are settled here.
    if (source.characters + (known?.maxOutputTokens ?? most) <= most) return undefined;
    const { maxOutputTokens = 0 } = source;
    if (source.characters + maxOutputTokens <= most) return undefined;
    const estimate = this.#facts.inputTokens;
    if (estimate * ESTIMATE_FACTOR + maxOutputTokens <= most) return undefined;
    const input = estimate / ESTIMATE_FACTOR + maxOutputTokens > most ? estimate : this.#count(target.model);
    if (Math.ceil(input * COUNT_SLACK) + maxOutputTokens <= most) return undefined;
    const output = maxOutputTokens > 0 ? ` and up to ${maxOutputTokens} of output` : "";
    return `holds ${most} tokens, and the call has about ${input} of input${output}`;
  }

  #count(model: string): number {
    const before = this.#counted?.get(model);
    if (before !== undefined) return before;
    const tokens = this.#facts.countTokens((text) => this.#book?.countTokens(text, model) ?? 0);
    (this.#counted ??= new Map()).set(model, tokens);
    return tokens;
  }
}
