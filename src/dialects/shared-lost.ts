import { ProblemError, type EncodeTarget, type Item, type Json, type Part } from "../canon/index.ts";

/** Kinds of lost content that one refusal names. */
const MAX_NAMED = 8;

/**
 * Watches what becomes of the user's side of a conversation, turn by turn: a turn that held something and holds nothing for this target
 * would be answered as if the caller had said nothing. Losing a part of a turn is told as a diagnostic; losing all of it is refused.
 */
export class UserTurns {
  readonly #target: EncodeTarget;
  #lost: string[] = [];
  #kept = false;

  constructor(target: EncodeTarget) {
    this.#target = target;
  }

  /** A user's message; `encoded`: what became of its parts on the wire. */
  message(parts: readonly Part[], encoded: readonly Json[]): void {
    if (!encoded.every(saysNothing)) this.#kept = true;
    else this.#lost.push(...parts.filter((part) => part.type !== "text" && part.type !== "refusal").map(kindOf));
  }

  /**
   * A tool's result is an answer of its own: nothing beside it makes up for what it showed. Parts that only its language knows are its
   * way of speaking with its own tools.
   * @throws ProblemError unsupported, naming the content and the target
   */
  result(parts: readonly Part[], encoded: readonly Json[]): void {
    this.#kept = true;
    if (!encoded.every(saysNothing)) return;
    const lost = parts.filter((part) => part.type === "image" || part.type === "file" || part.type === "audio");
    if (lost.length > 0) throw cannotTake(lost.map(kindOf), this.#target);
  }

  /** The turn is over: the model speaks, or the conversation ends. @throws ProblemError unsupported, naming the content and the target */
  end(): void {
    if (!this.#kept && this.#lost.length > 0) throw cannotTake(this.#lost, this.#target);
    this.#kept = false;
    if (this.#lost.length > 0) this.#lost = [];
  }
}

/**
 * A last turn made only of items that another language has and this one has not: without it the model would answer the turn before.
 * @param carries can this target be sent the item?
 * @throws ProblemError unsupported, naming the items and the target
 */
export function refuseForeignTurn(items: readonly Item[], carries: (item: Item) => boolean, target: EncodeTarget): void {
  const lost: string[] = [];
  for (const item of items.toReversed()) {
    if (item.type !== "unknown") {
      if (isModels(item)) break;
      return;
    }
    if (item.role !== "user") break;
    // Tools that an item brings are offered all the same.
    if (item.tools) continue;
    if (carries(item)) return;
    lost.unshift(item.kind);
  }
  if (lost.length > 0) throw cannotTake(lost, target);
}

/**
 * Nothing at all is left of a conversation that held more than standing instructions.
 * @throws ProblemError unsupported, naming the items and the target
 */
export function refuseEmptyConversation(items: readonly Item[], target: EncodeTarget): void {
  const lost = items.filter((item) => item.type !== "message" || item.parts.some((part) => part.type !== "text" || part.text !== ""));
  const said = lost.filter((item) => item.type !== "message" || (item.role !== "system" && item.role !== "developer"));
  if (said.length > 0)
    throw cannotTake(
      said.map((item) => (item.type === "unknown" ? item.kind : item.type)),
      target,
    );
}

/**
 * A prompt that the provider of its own language keeps, and nothing beside it.
 * @throws ProblemError unsupported, naming the target
 */
export function refuseKeptPrompt(call: { readonly items: readonly Item[]; readonly keptPrompt?: string }, target: EncodeTarget): void {
  if (call.keptPrompt === undefined || call.items.length > 0) return;
  throw new ProblemError({
    kind: "unsupported",
    message: `The prompt "${call.keptPrompt.slice(0, 100)}" is kept by another provider, and "${target.provider}/${target.model}" cannot read it. Send the input itself.`,
    param: "prompt",
  });
}

function cannotTake(kinds: readonly string[], target: EncodeTarget): ProblemError {
  const named = [...new Set(kinds)].slice(0, MAX_NAMED).map((kind) => kind.slice(0, 40));
  return new ProblemError({
    kind: "unsupported",
    message: `"${target.provider}/${target.model}" cannot take ${named.join(", ")}, and the request says nothing else in that place. Send it in another form.`,
    code: "content_unsupported",
  });
}

function kindOf(part: Part): string {
  return part.type === "unknown" ? part.kind : part.type;
}

/** Said by the model, and so the end of the user's turn. */
export function isModels(item: Item): boolean {
  return item.type === "reasoning" || item.type === "tool_call" || (item.type === "message" && item.role === "assistant");
}

function saysNothing(encoded: Json): boolean {
  return encoded === "" || (typeof encoded === "object" && encoded !== null && "text" in encoded && encoded.text === "");
}
