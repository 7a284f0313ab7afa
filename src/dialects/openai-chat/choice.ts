import type { EmitEvent, Item, Json, JsonObject, Origin, RepeatableFrame, StopReason } from "../../canon/index.ts";
import { wholeMessage } from "./answer.ts";
import { detailsText, isSummary, READABLE_REASONING } from "./decode-message.ts";
import { isThinking, thinkingText } from "./decode-parts.ts";
import { OpenItems } from "./open-items.ts";
import { ID, isList, isObject, object, text, type Draft } from "./shape.ts";
import { isFailure, stopFrom } from "./stop.ts";

/** Members of a chunk that nothing is read from. */
const IGNORED: readonly string[] = ["obfuscation"];
const CHOICE_FIELDS = new Set(["index", "delta", "message", "finish_reason", "logprobs", "usage"]);
const DELTA_FIELDS = new Set([
  "role",
  "content",
  "refusal",
  "annotations",
  "tool_calls",
  "function_call",
  "reasoning_content",
  "reasoning",
]);

/** One choice of a streamed answer, while its chunks come in. */
export class OpenChoice {
  readonly #emit: EmitEvent;
  readonly #items: OpenItems;
  /** Fields of the choice that have no canonical place, the newest value of each. */
  readonly #choice: Draft;
  #finish: string | undefined;

  constructor(emit: EmitEvent, origin: Origin, answerId: string, index: number) {
    this.#emit = emit;
    this.#items = new OpenItems(emit, origin, answerId);
    this.#choice = { index };
  }

  /** Did it say anything, or that it is over? */
  get any(): boolean {
    return this.#items.any || this.#finish !== undefined;
  }
  get finish(): string | undefined {
    return this.#finish;
  }
  get stop(): StopReason {
    return stopFrom(this.#finish, this.#items.said);
  }

  /** Returns a finish reason that is a failure; such a choice is not read. */
  read(choice: JsonObject): string | undefined {
    const finish = text(choice["finish_reason"]);
    if (isFailure(finish)) return finish;
    const logprobs = object(choice["logprobs"]);
    const delta = object(choice["delta"]) ?? object(choice["message"]);
    if (delta) this.#delta(delta, tokensOf(logprobs));
    for (const key in choice) if (!CHOICE_FIELDS.has(key)) this.#choice[key] = choice[key];
    if (finish !== undefined) this.#finish = finish;
    return undefined;
  }

  /** How a chunk like this one is told whose only choice, this one, said one thing, and not that it is over. */
  repeatableOf(choice: JsonObject): RepeatableFrame | undefined {
    const items = this.#items;
    if (text(choice["finish_reason"]) !== undefined || object(choice["logprobs"])) return undefined;
    const delta = object(choice["delta"]);
    const key = delta && onlyField(delta);
    const value = key === undefined ? undefined : delta?.[key];
    if (typeof value === "string") {
      if (key === "content") return { text: value, ignored: IGNORED, tell: (next) => items.text(next, undefined) };
      for (const place of READABLE_REASONING)
        if (key === place) return { text: value, ignored: IGNORED, tell: (next) => items.reasoning(next, place, "text") };
    }
    const call = key === "tool_calls" && isList(value) && value.length === 1 ? object(value[0]) : undefined;
    const body = object(call?.["function"]);
    const input = text(body?.["arguments"]);
    if (input === undefined) return undefined;
    return { text: input, ignored: IGNORED, tell: (next) => items.toolCall({ ...call, function: { ...body, arguments: next } }) };
  }

  /** Pages that the answer listed beside its choices. */
  cite(native: JsonObject): void {
    this.#items.cite(native);
  }

  /** Ends its items; returns it as a plain answer has it, but for what became items. */
  close(): JsonObject {
    this.#items.close();
    return {
      ...this.#choice,
      message: this.#items.frame(),
      finish_reason: this.#finish ?? null,
      logprobs: this.#items.logprobs(),
    };
  }

  #delta(delta: JsonObject, logprobs: readonly Json[] | undefined): void {
    const items = this.#items;
    this.#reasoning(delta);
    const content = delta["content"];
    if (typeof content === "string") items.text(content, logprobs);
    else if (isList(content)) this.#contentList(content, logprobs);
    const refusal = text(delta["refusal"]);
    if (refusal !== undefined) items.refusal(refusal);
    const annotations = delta["annotations"];
    if (isList(annotations)) for (const annotation of annotations) items.annotation(annotation);
    const calls = delta["tool_calls"];
    if (isList(calls)) for (const call of calls) if (isObject(call)) items.toolCall(call);
    const legacy = object(delta["function_call"]);
    if (legacy) items.functionCall(legacy);
    this.#extras(delta);
  }

  #reasoning(delta: JsonObject): void {
    const items = this.#items;
    const details = delta["reasoning_details"];
    const listed = isList(details) && details.length > 0 ? details : undefined;
    for (const key of READABLE_REASONING) {
      const shown = text(delta[key]);
      if (shown === undefined) continue;
      items.reasoning(shown, key, listed && isSummary(listed) ? "summary" : "text");
      if (listed) items.details(listed);
      return;
    }
    if (!listed) return;
    items.reasoning(detailsText(listed), "reasoning_details", isSummary(listed) ? "summary" : "text");
    items.details(listed);
  }

  #contentList(content: readonly Json[], logprobs: readonly Json[] | undefined): void {
    for (const part of content) {
      if (isThinking(part)) this.#thinking(part);
      else if (isObject(part) && part["type"] === "text" && typeof part["text"] === "string") this.#items.text(part["text"], logprobs);
      else this.#native({ content: [part] });
    }
  }

  #thinking(part: JsonObject): void {
    this.#items.reasoning(thinkingText(part), "content", "text");
    this.#items.thought(part);
    const { thinking: _told, ...rest } = part;
    // The words are told by the event; what stands beside them reaches clients of this language.
    if (Object.keys(rest).length > 1) this.#native({ content: [{ ...rest, thinking: [] }] });
  }

  /** What only this language understands goes to its own clients as it came, and into the finished message. */
  #extras(delta: JsonObject): void {
    let extras: Draft | undefined;
    for (const key in delta) {
      const value = delta[key];
      if (DELTA_FIELDS.has(key) || value === null || (isList(value) && value.length === 0)) continue;
      extras ??= {};
      extras[key] = value;
      if (key === "audio" && isObject(value)) this.#items.audio(value);
      else if (key !== "reasoning_details") this.#items.extra(key, value ?? null);
    }
    if (extras) this.#native(extras);
  }

  #native(delta: JsonObject): void {
    this.#emit({ type: "native", dialect: ID, raw: { choices: [{ index: 0, delta }] } });
  }
}

/** Vendors offer fewer; what comes beyond passes, and is not kept. */
const MAX_CHOICES = 128;

/**
 * The choices behind the first. Only clients of this language are told them, chunk by chunk as they come; at the end they stand in the
 * answer's native form, whole, as in a plain answer.
 */
export class OtherChoices {
  readonly #emit: EmitEvent;
  readonly #origin: Origin;
  readonly #answerId: string;
  readonly #open = new Map<number, { readonly choice: OpenChoice; readonly items: Item[] }>();
  /** Characters that the choice at hand told. */
  #characters = 0;

  constructor(emit: EmitEvent, origin: Origin, answerId: string) {
    this.#emit = emit;
    this.#origin = origin;
    this.#answerId = answerId;
  }

  read(choice: JsonObject): void {
    const index = typeof choice["index"] === "number" ? choice["index"] : -1;
    this.#characters = 0;
    const failure = this.#at(index)?.read(choice);
    const characters = this.#characters;
    this.#emit({ type: "native", dialect: ID, raw: { choices: [choice] }, ...(characters > 0 && failure === undefined && { characters }) });
  }

  /** In the order of their numbers. */
  close(): JsonObject[] {
    return [...this.#open]
      .toSorted(([a], [b]) => a - b)
      .map(([, { choice, items }]) => {
        const closed = choice.close();
        return { ...closed, message: wholeMessage(items, object(closed["message"])) };
      });
  }

  #at(index: number): OpenChoice | undefined {
    const known = this.#open.get(index);
    if (known || this.#open.size >= MAX_CHOICES) return known?.choice;
    const items: Item[] = [];
    const collect: EmitEvent = (event) => {
      if (event.type === "item_end") items[event.index] = event.item;
      else if ("text" in event) this.#characters += event.text.length;
    };
    // Its calls without an id must not be taken for the first choice's.
    const choice = new OpenChoice(collect, this.#origin, `${this.#answerId}_${index}`, index);
    this.#open.set(index, { choice, items });
    return choice;
  }
}

/** The one member of a delta that says something; undefined where there are several, or none. */
function onlyField(delta: JsonObject): string | undefined {
  let only: string | undefined;
  for (const key in delta) {
    const value = delta[key];
    if (key === "role" || value === null || value === "" || (isList(value) && value.length === 0)) continue;
    if (only !== undefined) return undefined;
    only = key;
  }
  return only;
}

function tokensOf(logprobs: JsonObject | undefined): readonly Json[] | undefined {
  const tokens = logprobs?.["content"] ?? logprobs?.["refusal"];
  return isList(tokens) && tokens.length > 0 ? tokens : undefined;
}
