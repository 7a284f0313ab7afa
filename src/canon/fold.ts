import type { Answer, Event, StopReason } from "./event.ts";
import type { Item, Part, ReasoningPart } from "./item.ts";
import type { Json, JsonObject } from "./json.ts";
import type { Problem } from "./problem.ts";
import { NO_USAGE, type Usage } from "./usage.ts";

/** A part while it grows. */
interface OpenPart {
  readonly type: "text" | "refusal" | ReasoningPart["kind"];
  text: string;
  annotations: Json[] | undefined;
}

interface OpenItem {
  item: Item;
  readonly parts: (OpenPart | undefined)[];
  input: string;
  ended: boolean;
}

/** Folds a stream of events into the answer it tells. Feed every event; read `answer` at any time. */
export class AnswerFold {
  id = "";
  model = "";
  createdAt = 0;
  usage: Usage = NO_USAGE;
  usageSeen = false;
  stop: StopReason | undefined;
  problem: Problem | undefined;
  #stopNative: JsonObject | undefined;
  #native: JsonObject = {};
  readonly #items: (OpenItem | undefined)[] = [];
  readonly #origin: { dialect: string; provider?: string };

  constructor(origin: { dialect: string; provider?: string }) {
    this.#origin = origin;
  }

  /** True once `done` or `problem` came. */
  get ended(): boolean {
    return this.stop !== undefined || this.problem !== undefined;
  }

  event(event: Event): void {
    switch (event.type) {
      case "start":
        this.id = event.id;
        this.model = event.model;
        this.createdAt = event.createdAt;
        this.#native = event.native ?? {};
        return;
      case "item_start":
        this.#items[event.index] = { item: event.item, parts: [], input: "", ended: false };
        return;
      case "text":
      case "refusal":
        this.#grow(event.index, event.part, event.type, event.text);
        return;
      case "annotation": {
        const part = this.#grow(event.index, event.part, "text", "");
        if (part) (part.annotations ??= []).push(event.annotation);
        return;
      }
      case "reasoning":
        this.#grow(event.index, event.part, event.kind, event.text);
        return;
      case "input": {
        const open = this.#items[event.index];
        if (open) open.input += event.text;
        return;
      }
      case "item_end": {
        const open = this.#items[event.index];
        if (open) {
          open.item = event.item;
          open.ended = true;
        }
        return;
      }
      case "usage":
        this.usage = event.usage;
        this.usageSeen = true;
        return;
      case "native":
        return;
      case "done":
        this.stop = event.stop;
        this.#stopNative = event.stopNative;
        if (event.native) this.#native = { ...this.#native, ...event.native };
        return;
      case "problem":
        this.problem = event.problem;
        return;
    }
  }

  /** The items so far; those still open hold what came up to now. */
  items(): Item[] {
    const items: Item[] = [];
    for (const open of this.#items) if (open) items.push(open.ended ? open.item : closeItem(open));
    return items;
  }

  /** One item as it is so far. */
  item(index: number): Item | undefined {
    const open = this.#items[index];
    return open && (open.ended ? open.item : closeItem(open));
  }

  answer(): Answer {
    return {
      id: this.id,
      model: this.model,
      createdAt: this.createdAt,
      items: this.items(),
      stop: this.stop ?? "unknown",
      ...(this.#stopNative && { stopNative: this.#stopNative }),
      usage: this.usage,
      origin: this.#origin,
      native: this.#native,
    };
  }

  #grow(index: number, place: number, type: OpenPart["type"], text: string): OpenPart | undefined {
    const open = this.#items[index];
    if (!open) return undefined;
    let part = open.parts[place];
    if (part) part.text += text;
    else open.parts[place] = part = { type, text, annotations: undefined };
    return part;
  }
}

function closeItem({ item, parts, input }: OpenItem): Item {
  if (item.type === "message") return { ...item, parts: parts.flatMap((part) => (part ? [messagePart(part)] : [])) };
  if (item.type === "reasoning") return { ...item, parts: parts.flatMap((part) => (part ? [reasoningPart(part)] : [])) };
  if (item.type === "tool_call") return { ...item, input };
  return item;
}

function messagePart({ type, text, annotations }: OpenPart): Part {
  if (type === "refusal") return { type, text };
  return { type: "text", text, ...(annotations && { annotations }) };
}

function reasoningPart({ type, text }: OpenPart): ReasoningPart {
  return { kind: type === "summary" ? type : "text", text };
}

/** The events that tell a whole answer: for a client that asked for a stream from an upstream that gave none. */
export function* unfold(answer: Answer): Generator<Event> {
  yield { type: "start", id: answer.id, model: answer.model, createdAt: answer.createdAt, native: answer.native };
  // What was read is known before anything is written, and some languages say it first.
  yield { type: "usage", usage: { ...answer.usage, output: 0, reasoning: 0 } };
  for (const [index, item] of answer.items.entries()) {
    yield { type: "item_start", index, item: emptied(item) };
    if (item.type === "message") yield* unfoldParts(index, item.parts);
    else if (item.type === "reasoning") {
      for (const [part, { kind, text }] of item.parts.entries()) yield { type: "reasoning", index, part, kind, text };
    } else if (item.type === "tool_call" && item.input) yield { type: "input", index, text: item.input };
    yield { type: "item_end", index, item };
  }
  yield { type: "usage", usage: answer.usage };
  yield { type: "done", stop: answer.stop, ...(answer.stopNative && { stopNative: answer.stopNative }), native: answer.native };
}

function* unfoldParts(index: number, parts: readonly Part[]): Generator<Event> {
  for (const [part, value] of parts.entries()) {
    if (value.type === "refusal") yield { type: "refusal", index, part, text: value.text };
    if (value.type !== "text") continue;
    yield { type: "text", index, part, text: value.text, ...(value.logprobs !== undefined && { logprobs: value.logprobs }) };
    for (const annotation of value.annotations ?? []) yield { type: "annotation", index, part, annotation };
  }
}

function emptied(item: Item): Item {
  const { raw: _raw, ...rest } = item;
  if (rest.type === "message") return { ...rest, parts: [] };
  if (rest.type === "reasoning") {
    const { signature: _signature, encrypted: _encrypted, ...bare } = rest;
    return { ...bare, parts: [] };
  }
  if (rest.type === "tool_call") return { ...rest, input: "" };
  return item;
}

/** Characters of what an answer says, thinks and asks of tools, as they would count in its stream: for estimates where no usage is named. */
export function outputCharacters(answer: Answer): number {
  let characters = 0;
  for (const event of unfold(answer)) {
    if (event.type === "text" || event.type === "reasoning" || event.type === "input" || event.type === "refusal")
      characters += event.text.length;
  }
  return characters;
}
