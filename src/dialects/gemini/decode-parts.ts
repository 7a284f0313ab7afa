import type { Envelope, Item, Json, JsonObject, Origin, Part, TextPart, ToolResultItem } from "../../canon/index.ts";
import { decodeMedia } from "./media.ts";
import { decodeCarried } from "./signatures.ts";
import { at, hasMore, isObject, needObject, readString, textAt, type Path } from "./wire.ts";

const PLAIN_TEXT = new Set(["text"]);
const PLAIN_THOUGHT = new Set(["text", "thought", "thoughtSignature"]);

export interface Place {
  readonly role: "user" | "assistant";
  readonly origin: Origin;
  readonly envelope?: Envelope;
  readonly ids: CallIds;
  /** Signatures beside calls and text become items of their own, which the gateway keeps for clients that cannot carry them. */
  readonly apart?: boolean;
}

/**
 * Ids of function calls, which the language leaves out more often than not. A call without one gets the next of a row; a response without
 * one answers the oldest unanswered call of its name.
 */
export class CallIds {
  readonly #prefix: string;
  #count = 0;
  readonly #waiting: { readonly name: string; readonly id: string }[] = [];

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  ofCall(id: string | undefined, name: string): string {
    const callId = id !== undefined && id !== "" ? id : `${this.#prefix}_${this.#count}`;
    this.#count++;
    this.#waiting.push({ name, id: callId });
    return callId;
  }

  ofResponse(id: string | undefined, name: string): string {
    const place = this.#waiting.findIndex((call) => (id === undefined || id === "" ? call.name === name : call.id === id));
    const [found] = place < 0 ? [] : this.#waiting.splice(place, 1);
    return found?.id ?? (id !== undefined && id !== "" ? id : `${this.#prefix}_${name}`);
  }
}

/**
 * Parts as items. Neighbouring texts and media are the parts of one message; every other part is an item of its own, and what this file
 * does not know becomes an unknown item that keeps its part. @throws ProblemError invalid_request
 */
export function decodeParts(parts: readonly Json[], place: Place, path: Path): Item[] {
  const items: Item[] = [];
  let open: Part[] | undefined;
  for (const [index, value] of parts.entries()) {
    const where = `${path}[${index}]`;
    const part = needObject(value, where);
    if (!isContent(part)) {
      open = undefined;
      items.push(...decodeItem(part, place, where));
      continue;
    }
    if (!open) {
      open = [];
      items.push({ type: "message", role: place.role, parts: open, ...whereFrom(place) });
    }
    open.push(typeof part["text"] === "string" ? decodeText(part) : decodeMedia(part, part, where));
    if (place.apart) putApart(items, part, place);
  }
  return items;
}

/** Text or media that is shown; thoughts are not. */
function isContent(part: JsonObject): boolean {
  if (part["thought"] === true) return false;
  return typeof part["text"] === "string" || at(part, "inlineData") !== undefined || at(part, "fileData") !== undefined;
}

export function whereFrom(place: Place): { readonly origin: Origin; readonly envelope?: Envelope } {
  return { origin: place.origin, ...(place.envelope && { envelope: place.envelope }) };
}

/** A plain part needs no `raw`: its text is all there is. */
export function decodeText(part: JsonObject): TextPart {
  return { type: "text", text: textAt(part, "text"), ...(hasMore(part, PLAIN_TEXT) && { raw: part }) };
}

/** A message's signature goes before it, where it is found again by the message's words. */
function putApart(items: Item[], part: JsonObject, place: Place): void {
  const signature = at(part, "thoughtSignature");
  const message = items.at(-1);
  if (typeof signature !== "string" || signature === "" || message?.type !== "message") return;
  items.splice(-1, 1, { type: "reasoning", parts: [], signature, ...whereFrom(place) }, message);
}

/** A part that is an item of its own. @throws ProblemError invalid_request */
export function decodeItem(part: JsonObject, place: Place, path: Path): Item[] {
  const base = whereFrom(place);
  if (part["thought"] === true && (typeof part["text"] === "string" || part["text"] === undefined)) return [decodeThought(part, place)];
  const call = at(part, "functionCall");
  if (call !== undefined) return decodeFunctionCall(part, needObject(call, `${path}.functionCall`), place, `${path}.functionCall`);
  const response = at(part, "functionResponse");
  if (response !== undefined)
    return [decodeFunctionResponse(part, needObject(response, `${path}.functionResponse`), place, `${path}.functionResponse`)];
  return [{ type: "unknown", kind: kindOf(part), role: place.role, ...base, raw: part }];
}

function kindOf(part: JsonObject): string {
  return Object.keys(part).find((key) => key !== "thoughtSignature" && key !== "thought_signature" && key !== "thought") ?? "part";
}

function decodeThought(part: JsonObject, place: Place): Item {
  const text = textAt(part, "text");
  const signature = at(part, "thoughtSignature");
  const carried = typeof signature === "string" ? decodeCarried(signature) : undefined;
  const signed = typeof signature === "string" && signature !== "" && carried === undefined;
  return {
    type: "reasoning",
    // What the API shows is a summary of the thoughts, not the thoughts themselves ("Thought summaries").
    parts: text === "" ? [] : [{ kind: "summary", text }],
    ...(carried !== undefined && { carried }),
    ...(signed && { signature }),
    ...whereFrom(place),
    // Without text it would be taken for the signature of its neighbour.
    ...((hasMore(part, PLAIN_THOUGHT) || text === "") && carried === undefined && { raw: part }),
  };
}

/** @throws ProblemError invalid_request */
function decodeFunctionCall(part: JsonObject, call: JsonObject, place: Place, path: Path): Item[] {
  const name = textAt(call, "name");
  const args = call["args"];
  const signature = at(part, "thoughtSignature");
  const signed = typeof signature === "string" && signature !== "";
  const item: Item = {
    type: "tool_call",
    callId: place.ids.ofCall(readString(call["id"], `${path}.id`), name),
    name,
    kind: "function",
    input: JSON.stringify(args === undefined || args === null ? {} : needObject(args, `${path}.args`)),
    ...(signed && { signature }),
    ...whereFrom(place),
    raw: part,
  };
  return signed && place.apart ? [{ type: "reasoning", parts: [], signature, ...whereFrom(place) }, item] : [item];
}

/** @throws ProblemError invalid_request */
function decodeFunctionResponse(part: JsonObject, response: JsonObject, place: Place, path: Path): ToolResultItem {
  const said = response["response"];
  const { text, isError } = wordsOf(said === undefined || said === null ? {} : needObject(said, `${path}.response`));
  const shown = response["parts"];
  const media = Array.isArray(shown)
    ? (shown as readonly Json[]).flatMap((value, index) => {
        const inner = needObject(value, `${path}.parts[${index}]`);
        return at(inner, "inlineData") === undefined && at(inner, "fileData") === undefined
          ? []
          : [decodeMedia(inner, inner, `${path}.parts[${index}]`)];
      })
    : [];
  return {
    type: "tool_result",
    callId: place.ids.ofResponse(readString(response["id"], `${path}.id`), textAt(response, "name")),
    kind: "function",
    parts: [{ type: "text", text }, ...media],
    ...(isError && { isError }),
    ...whereFrom(place),
    raw: part,
  };
}

/** A result is any object; of one that holds nothing but `output` or `error`, which the API gives a meaning, that is what was said. */
function wordsOf(response: JsonObject): { readonly text: string; readonly isError: boolean } {
  const [key, ...more] = Object.keys(response);
  if (key === undefined) return { text: "", isError: false };
  if (more.length > 0 || (key !== "output" && key !== "error")) return { text: JSON.stringify(response), isError: false };
  const value = response[key];
  return { text: typeof value === "string" ? value : JSON.stringify(value), isError: key === "error" };
}

export function roleOf(role: string): "user" | "assistant" {
  return role === "model" ? "assistant" : "user";
}

/** What a content is without its parts, for the way back. */
export function frameOf(content: JsonObject): JsonObject {
  const { parts, ...fields } = content;
  return { fields, shape: Array.isArray(parts) ? "list" : isObject(parts) ? "object" : "absent" };
}
