import type { Item, JsonObject, MessageItem, ToolResultItem } from "../../canon/index.ts";
import { isModels, UserTurns } from "../shared-lost.ts";
import { flattenToolCall } from "../shared-tools.ts";
import {
  encodeFunctionCall,
  encodeMessageParts,
  encodeResult,
  encodeThought,
  functionResponse,
  isOwn,
  PartList,
  type EncodedResult,
  type PartContext,
} from "./encode-parts.ts";
import { checksSignatures, NO_SIGNATURE } from "./signatures.ts";
import { at, DIALECT, isObject } from "./wire.ts";

type Role = "user" | "model";

/**
 * Items as contents. Where all came in this language they become the contents that they were cut from, in their shapes; else they are
 * gathered by role. Standing instructions of another language at the start of the list are returned apart, for `systemInstruction`.
 */
export function encodeContents(
  items: readonly Item[],
  context: PartContext,
): { readonly contents: JsonObject[]; readonly system: JsonObject[] } {
  if (items.every((item) => item.envelope?.dialect === DIALECT)) return { contents: replayed(items, context), system: [] };
  const system: JsonObject[] = [];
  let first = 0;
  for (; first < items.length; first++) {
    const item = items[first];
    if (item?.type !== "message" || !isInstruction(item)) break;
    system.push(...encodeMessageParts(item.parts, "system", isOwn(item), context));
  }
  const rest = items.slice(first);
  const gathered = new Contents(rest, context);
  for (const item of rest) gathered.item(item);
  return { contents: gathered.end(), system };
}

/** Neighbours of one envelope are one content. */
function replayed(items: readonly Item[], context: PartContext): JsonObject[] {
  const contents: JsonObject[] = [];
  const turns = new UserTurns(context.target);
  for (let from = 0; from < items.length;) {
    const envelope = items[from]?.envelope;
    const list = new PartList();
    let to = from;
    for (; to < items.length && items[to]?.envelope === envelope; to++) {
      const item = items[to];
      if (item) addOwn(item, list, context, turns);
    }
    list.end();
    const [only] = list.parts;
    const fields = envelope && isObject(envelope.raw["fields"]) ? envelope.raw["fields"] : {};
    const shape = envelope?.raw["shape"];
    if (shape === "absent" && list.parts.length === 0) contents.push(fields);
    else contents.push({ ...fields, parts: shape === "object" && list.parts.length === 1 && only ? only : list.parts });
    from = to;
  }
  return contents;
}

function addOwn(item: Item, list: PartList, context: PartContext, turns: UserTurns): void {
  switch (item.type) {
    case "message":
      return list.add(encodeMessageParts(item.parts, item.role === "assistant" ? "assistant" : "user", true, context));
    case "reasoning":
      return encodeThought(item, list, context);
    case "tool_call":
      return list.add([encodeFunctionCall(item, context)]);
    case "tool_result":
      return list.add([encodeResult(item, resultName(item), context, turns).response]);
    case "compaction":
      return;
    case "unknown":
      if (isObject(item.raw)) list.add([item.raw]);
  }
}

/** The function that a response of this language names itself. */
function resultName(item: ToolResultItem): string {
  const response = isObject(item.raw) ? at(item.raw, "functionResponse") : undefined;
  return isObject(response) && typeof response["name"] === "string" ? response["name"] : "";
}

function isInstruction(item: MessageItem): boolean {
  return item.role === "system" || item.role === "developer";
}

/** Contents of a conversation that came, wholly or in part, in another language. */
class Contents {
  readonly #context: PartContext;
  readonly #turns: UserTurns;
  readonly #contents: { readonly role: Role; readonly list: PartList; readonly closed?: true }[] = [];
  /** Functions by the id of their call, over the whole conversation. */
  readonly #names = new Map<string, string>();
  readonly #results = new Map<string, ToolResultItem>();
  /** Calls of the content at hand: the API wants each of them answered at once, and in the very next content. */
  #calls: string[] = [];

  constructor(items: readonly Item[], context: PartContext) {
    this.#context = context;
    this.#turns = new UserTurns(context.target);
    for (const item of items) {
      if (item.type === "tool_call") this.#names.set(item.callId, flattenToolCall(item, context.flat).name);
      if (item.type === "tool_result") this.#results.set(item.callId, item);
    }
  }

  item(item: Item): void {
    if (isModels(item)) this.#turns.end();
    if (!isModels(item) && !(item.type === "unknown" && item.role === "assistant")) this.#answerCalls();
    switch (item.type) {
      case "message":
        return this.#message(item);
      case "reasoning":
        return encodeThought(item, this.#list("model"), this.#context);
      case "tool_call":
        this.#calls.push(item.callId);
        return this.#list("model").add([encodeFunctionCall(item, this.#context)]);
      case "tool_result":
        // Told behind its call already; without one there is nothing that it could answer.
        return;
      case "compaction":
        return this.#summary(item.text);
      case "unknown":
        if (isOwn(item) && isObject(item.raw)) return this.#list(item.role === "assistant" ? "model" : "user").add([item.raw]);
        return this.#context.note({ field: `items[].${item.kind}`, action: "dropped", reason: "Only its own language can carry it." });
    }
  }

  end(): JsonObject[] {
    this.#answerCalls();
    this.#turns.end();
    return this.#contents.flatMap(({ role, list }) => {
      list.end();
      if (list.parts.length === 0) return [];
      return [{ role, parts: role === "model" ? this.#signed(list.parts) : list.parts }];
    });
  }

  #list(role: Role): PartList {
    const last = this.#contents.at(-1);
    if (last?.role === role && !last.closed) return last.list;
    const list = new PartList();
    this.#contents.push({ role, list });
    return list;
  }

  #message(item: MessageItem): void {
    const own = isOwn(item);
    if (isInstruction(item)) return this.#instruction(item);
    const side = item.role === "assistant" ? "assistant" : "user";
    const parts = encodeMessageParts(item.parts, side, own, this.#context);
    if (side === "user") this.#turns.message(item.parts, parts);
    if (item.cacheTtlSeconds !== undefined)
      this.#context.note({
        field: "items[].cacheTtlSeconds",
        action: "dropped",
        reason: "The language has no breakpoints for its prompt cache.",
      });
    if (parts.length > 0) this.#list(side === "assistant" ? "model" : "user").add(parts);
  }

  #instruction(item: MessageItem): void {
    const text = encodeMessageParts(item.parts, "system", isOwn(item), this.#context)
      .map((part) => (typeof part["text"] === "string" ? part["text"] : ""))
      .join("\n");
    if (text === "") return;
    this.#context.note({
      field: "items[].role",
      action: "degraded",
      reason: `The language takes instructions only at the start; a later ${item.role} message is sent in the user's turn, marked as what it is.`,
    });
    this.#list("user").add([{ text: `<${item.role}>\n${text}\n</${item.role}>` }]);
  }

  #summary(text: string | undefined): void {
    this.#context.note(
      text === undefined
        ? { field: "items[].compaction", action: "dropped", reason: "The summary can be read only by the provider that made it." }
        : { field: "items[].compaction", action: "degraded", reason: "The summary of earlier turns is sent as the user's text." },
    );
    if (text !== undefined) this.#list("user").add([{ text: `Summary of the conversation so far:\n${text}` }]);
  }

  /** Results stand right behind their calls, in a content of their own; what they show follows in another. */
  #answerCalls(): void {
    const calls = this.#calls;
    if (calls.length === 0) return;
    this.#calls = [];
    const results = calls.map((id) => this.#result(id));
    const list = new PartList();
    list.add(results.map(({ response }) => response));
    this.#contents.push({ role: "user", list, closed: true });
    const shown = results.flatMap((result) => result.shown);
    if (shown.length > 0) this.#list("user").add(shown);
  }

  #result(id: string): EncodedResult {
    const name = this.#names.get(id) ?? "";
    const item = this.#results.get(id);
    if (item) return encodeResult(item, name, this.#context, this.#turns);
    this.#context.note({
      field: "items[].toolResult",
      action: "restored",
      reason: `The tool call ${id} has no result; the API demands one, so it is told that there is none.`,
    });
    return { response: functionResponse(id, name, "There is no result: the tool was not run.", true), shown: [] };
  }

  /** The first call of a content must have a signature; one that another model made never had any. */
  #signed(parts: readonly JsonObject[]): readonly JsonObject[] {
    const first = parts.findIndex((part) => at(part, "functionCall") !== undefined);
    const call = parts[first];
    if (!call || at(call, "thoughtSignature") !== undefined || !checksSignatures(this.#context.target.model)) return parts;
    return parts.map((part, index) => (index === first ? { ...part, thoughtSignature: NO_SIGNATURE } : part));
  }
}
