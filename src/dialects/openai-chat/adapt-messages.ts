import type { Capabilities, Diagnostic, Json, JsonObject } from "../../canon/index.ts";
import { READABLE_REASONING } from "./decode-message.ts";
import { isThinking, thinkingText } from "./decode-parts.ts";
import { isList, isObject, text, type Draft } from "./shape.ts";

type Note = (diagnostic: Diagnostic) => void;

/** In `reasoningField`: readable reasoning stands in the list of content, as parts of the type `thinking`. */
const IN_CONTENT = "content";

/**
 * The messages as a particular upstream reads them, or undefined when nothing differs: roles of standing instructions, where earlier
 * reasoning stands, the mark of an answer that was begun, the form of tool call ids. The same on both paths, like `adaptations`.
 */
export function adaptedMessages(messages: Json | undefined, capabilities: Capabilities, note: Note): readonly Json[] | undefined {
  if (!isList(messages) || !differs(capabilities)) return undefined;
  let changed = false;
  const last = messages.length - 1;
  const adapted = messages.map((message, place) => {
    if (!isObject(message)) return message;
    const next = adaptMessage(message, place === last, capabilities, note);
    changed ||= next !== message;
    return next;
  });
  return changed ? adapted : undefined;
}

function differs({ instructionsRole, prefillField, callIdLength, ...capabilities }: Capabilities): boolean {
  return (
    instructionsRole !== undefined || prefillField !== undefined || callIdLength !== undefined || readsReasoning(capabilities) !== undefined
  );
}

/** True or false where it is known whether the upstream reads reasoning back at all. */
function readsReasoning({ reasoningField, reasoningRequest }: Capabilities): boolean | undefined {
  if (reasoningField !== undefined) return true;
  // Vendors that are asked by a plain effort and name no field for it keep their reasoning to themselves.
  return reasoningRequest === "reasoning_effort" ? false : undefined;
}

function adaptMessage(message: JsonObject, isLast: boolean, capabilities: Capabilities, note: Note): JsonObject {
  const { instructionsRole, prefillField, callIdLength } = capabilities;
  let next = message;
  const { role } = message;
  if ((role === "system" || role === "developer") && instructionsRole !== undefined && role !== instructionsRole) {
    note({ field: "items[].role", action: "renamed", reason: `The provider calls the role "${instructionsRole}".` });
    next = { ...next, role: instructionsRole };
  }
  if (role === "assistant" && readsReasoning(capabilities) !== undefined) next = placedReasoning(next, capabilities, note);
  if (callIdLength !== undefined) next = shortenedIds(next, callIdLength);
  const begins = isLast && role === "assistant" && prefillField !== undefined && !isList(message["tool_calls"]);
  return begins && next[prefillField] === undefined ? { ...next, [prefillField]: true } : next;
}

/** Earlier reasoning where this vendor looks for it. */
function placedReasoning(message: JsonObject, capabilities: Capabilities, note: Note): JsonObject {
  const { reasoningField: wanted, reasoningRequest } = capabilities;
  const details = isList(message["reasoning_details"]);
  // Only vendors that are asked with an object know the list; it holds what its text does not: signatures.
  const keepsDetails = details && (reasoningRequest === "reasoning" || reasoningRequest === undefined);
  const { content } = message;
  const thinking = isList(content) ? content.filter(isThinking) : [];
  const field = READABLE_REASONING.find((name) => text(message[name]) !== undefined);
  const misplaced = wanted === IN_CONTENT ? field !== undefined : thinking.length > 0 || (field !== undefined && field !== wanted);
  if (!(misplaced && !keepsDetails) && (!details || keepsDetails)) return message;

  const next: Draft = { ...message };
  if (details && !keepsDetails) delete next["reasoning_details"];
  const shown = text(field === undefined ? undefined : message[field]) ?? thinking.map(thinkingText).join("");
  for (const name of READABLE_REASONING) if (name !== wanted) delete next[name];
  if (wanted !== IN_CONTENT && thinking.length > 0 && isList(content)) next["content"] = content.filter((part) => !isThinking(part));
  if (wanted === undefined) {
    note({ field: "items[].reasoning", action: "dropped", reason: "The provider reads no reasoning back." });
    return next;
  }
  if (wanted !== IN_CONTENT) next[wanted] ??= shown;
  else if (thinking.length === 0) next["content"] = [{ type: "thinking", thinking: [{ type: "text", text: shown }] }, ...partsOf(content)];
  note({ field: "items[].reasoning", action: "renamed", reason: `The provider reads reasoning from \`${wanted}\`.` });
  return next;
}

function partsOf(content: Json | undefined): readonly Json[] {
  if (isList(content)) return content;
  return text(content) === undefined ? [] : [{ type: "text", text: content ?? "" }];
}

/** Ids are only compared with each other: one that does not fit is replaced by one made of it, in the call and in its result. */
function shortenedIds(message: JsonObject, length: number): JsonObject {
  const { tool_calls: calls, tool_call_id: answered } = message;
  let next = message;
  if (isList(calls) && calls.some((call) => isObject(call) && !fits(call["id"], length)))
    next = { ...next, tool_calls: calls.map((call) => (isObject(call) ? { ...call, id: fitting(call["id"], length) } : call)) };
  return fits(answered, length) ? next : { ...next, tool_call_id: fitting(answered, length) };
}

function fits(id: Json | undefined, length: number): boolean {
  return typeof id !== "string" || id === "" || (id.length === length && /^[A-Za-z0-9]+$/.test(id));
}

const LETTERS = 36;
/** Two primes of the FNV family; the two halves of the id mix differently. */
const PRIMES = [0x01_00_01_93, 0x85_eb_ca_6b] as const;

/** The same id for the same text, always. Two of one conversation meet with a chance of one in 10^11 or less. */
function fitting(id: Json | undefined, length: number): Json | undefined {
  if (typeof id !== "string" || fits(id, length)) return id;
  let made = "";
  for (let round = 0; made.length < length; round++) {
    for (const prime of PRIMES) {
      let hash = (0x81_1c_9d_c5 ^ round) >>> 0;
      for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), prime) >>> 0;
      made += (hash ^ (hash >>> 15)).toString(LETTERS).replace("-", "");
    }
  }
  return made.slice(0, length);
}
