import {
  offeredTools,
  textOf,
  type Call,
  type Caller,
  type Item,
  type JsonObject,
  type Needs,
  type Operation,
  type Requirements,
  type Target,
  type TaskSupport,
} from "../canon/index.ts";
import { NEEDS, needsOf } from "./capabilities.ts";
import { cheapComplexity, turnsOf, type Complexity } from "./complexity.ts";

/** Where the facts come from: the gateway's call under way, or a file for a dry run. Nothing of it is asked before a fact needs it. */
export interface FactsSource {
  readonly caller: Caller;
  /** Undefined in a dry run. */
  readonly callId?: string | undefined;
  /** The model as the caller named it. */
  readonly model: string;
  readonly operation: Operation;
  readonly stream: boolean;
  readonly maxOutputTokens: number | undefined;
  /** Characters of the body's text. */
  readonly characters: number;
  readonly metadata: JsonObject | undefined;
  /** The caller's name for the conversation. */
  readonly session: string | undefined;
  /** The earlier answer that the call continues. */
  readonly previousId: string | undefined;
  /** Sensitivity labels; empty while nobody gave any. */
  readonly labels: readonly string[];
  /** Milliseconds since 1970. */
  readonly at: number;
  /** What the body shows to be needed; undefined: only decoding can tell. */
  needs(): Needs | undefined;
  /** @throws ProblemError when the body cannot be read */
  call(): Call;
  /** What of a task is more than a target takes, in words that follow its name. @throws ProblemError when the body cannot be read */
  excess?(support: TaskSupport, target: Pick<Target, "provider" | "model">): string | undefined;
  /** Dollars that the call's budgets still hold; infinite while none covers it. */
  remainingUsd(): number;
}

/** Characters of text in a token, for estimates. */
const CHARACTERS_PER_TOKEN = 4;
/** What an image, a page of a file or a piece of sound is taken for; what it really costs differs by model. */
const TOKENS_PER_MEDIUM = 1000;
/** The tier of a caller whose key has no bound: whatever the highest tier may see. */
const HIGHEST_TIER = 4;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** 1970 began on a Thursday, the fourth day of the week. */
const FIRST_WEEKDAY = 3;
const NOTHING: Needs = { vision: false, files: false, audio: false, tools: false, structuredOutput: false };

/** What is known of a call before it is sent. Each fact is worked out when it is first asked for, and then kept. */
export class CallFacts {
  readonly source: FactsSource;
  #needs: Needs | undefined = undefined;
  #inputTokens: number | undefined = undefined;
  #complexity: Complexity | undefined = undefined;
  #requires: Requirements | undefined | null = null;

  constructor(source: FactsSource) {
    this.source = source;
  }

  get caller(): Caller {
    return this.source.caller;
  }

  /** What it asks of a model beyond text. A body that cannot be read needs nothing: whoever reads it will say what is wrong. */
  get needs(): Needs {
    return (this.#needs ??= this.source.needs() ?? this.#decoded(needsOf, NOTHING));
  }

  /** An estimate: a quarter of the body's characters; where it holds media, of its texts alone, and a flat sum for each medium. */
  get inputTokens(): number {
    return (this.#inputTokens ??= this.#estimate());
  }

  get tools(): readonly string[] {
    return this.#decoded((call) => offeredTools(call).flatMap((tool) => tool.name ?? (tool.type === "native" ? tool.kind : [])), []);
  }

  get turns(): number {
    return this.#decoded(turnsOf, 0);
  }

  get complexity(): Complexity {
    return (this.#complexity ??= this.#decoded((call) => cheapComplexity(call, this.inputTokens), { score: 0, parts: [] }));
  }
  /** Was it asked for, or given? */
  get hasComplexity(): boolean {
    return this.#complexity !== undefined;
  }
  /** What a model said of it, in place of what is counted here. */
  set complexity(scored: Complexity) {
    this.#complexity = scored;
  }

  get needWords(): readonly string[] {
    const { needs } = this;
    return NEEDS.filter((need) => needs[need]);
  }

  get tier(): number {
    return this.caller.scopes.tier ?? HIGHEST_TIER;
  }

  /** In UTC, 0 to 23. */
  get hour(): number {
    return Math.floor((this.source.at % DAY_MS) / HOUR_MS);
  }

  /** In UTC, 1 (Monday) to 7 (Sunday). */
  get weekday(): number {
    return ((Math.floor(this.source.at / DAY_MS) + FIRST_WEEKDAY) % 7) + 1;
  }

  /** Where the caller says this one call may go: metadata `requires.region` and `requires.residency`. */
  get requires(): Requirements | undefined {
    if (this.#requires === null) this.#requires = requirementsIn(this.source.metadata);
    return this.#requires;
  }

  /**
   * Tokens of its texts as a vocabulary counts them: exact where that is cheap, so only asked for near a limit.
   * @param count `ModelBook.countTokens` for a model
   */
  countTokens(count: (text: string) => number): number {
    return this.#decoded((call) => {
      let tokens = 0;
      for (const text of textsOf(call)) tokens += count(text);
      return tokens + mediaOf(call) * TOKENS_PER_MEDIUM;
    }, this.inputTokens);
  }

  #estimate(): number {
    const { needs } = this;
    const whole = Math.ceil(this.source.characters / CHARACTERS_PER_TOKEN);
    if (!needs.vision && !needs.files && !needs.audio) return whole;
    return this.#decoded((call) => {
      let characters = 0;
      for (const text of textsOf(call)) characters += text.length;
      return Math.ceil(characters / CHARACTERS_PER_TOKEN) + mediaOf(call) * TOKENS_PER_MEDIUM;
    }, whole);
  }

  #decoded<T>(read: (call: Call) => T, otherwise: T): T {
    let call: Call;
    try {
      call = this.source.call();
    } catch {
      return otherwise;
    }
    return read(call);
  }
}

function requirementsIn(metadata: JsonObject | undefined): Requirements | undefined {
  const region = metadata?.["requires.region"];
  const residency = metadata?.["requires.residency"];
  if (typeof region !== "string" && typeof residency !== "string") return undefined;
  return { ...(typeof region === "string" && { region: [region] }), ...(typeof residency === "string" && { residency: [residency] }) };
}

/** Everything a model reads as text. */
function* textsOf(call: Call): Generator<string> {
  if (call.instructions) yield textOf(call.instructions.parts);
  for (const item of call.items) yield textOfItem(item);
  for (const tool of call.tools) yield JSON.stringify(tool.raw ?? tool);
}

function textOfItem(item: Item): string {
  switch (item.type) {
    case "message":
    case "tool_result":
      return item.parts.reduce((all, part) => all + (part.type === "file" ? (part.text ?? "") : ""), textOf(item.parts));
    case "reasoning":
      return item.parts.map(({ text }) => text).join("");
    case "tool_call":
      return item.name + item.input;
    case "compaction":
      return item.text ?? item.encrypted ?? "";
    case "unknown":
      return JSON.stringify(item.raw);
  }
}

function mediaOf(call: Call): number {
  let media = 0;
  for (const item of call.items) {
    if (item.type !== "message" && item.type !== "tool_result") continue;
    for (const part of item.parts)
      if (part.type === "image" || part.type === "audio" || (part.type === "file" && part.text === undefined)) media++;
  }
  return media;
}
