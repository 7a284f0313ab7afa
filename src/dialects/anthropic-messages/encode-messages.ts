import type { Envelope, Item, JsonObject, MessageItem } from "../../canon/index.ts";
import {
  encodeParts,
  encodeThinking,
  encodeToolResult,
  encodeToolUse,
  isOwn,
  isPlainText,
  textBlock,
  type BlockContext,
} from "./encode-blocks.ts";
import { isModels, UserTurns } from "../shared-lost.ts";
import { cacheControl, DIALECT, isObject, textAt } from "./wire.ts";

type Role = "user" | "assistant" | "system";

/** One message being put together. */
interface Draft {
  readonly role: Role;
  envelope: Envelope | undefined;
  readonly blocks: JsonObject[];
  /** Did every block come in this language, in this very message? Then its order is its sender's affair. */
  verbatim: boolean;
  /** Was the message empty on the wire, so that it has to stay although it holds nothing? */
  empty: boolean;
}

/**
 * Items as messages. Items that share an envelope become the message they were cut from, in its shape; others are gathered by role.
 * Standing instructions of another language at the start of the list are returned apart, for `system`.
 */
export function encodeMessages(
  items: readonly Item[],
  context: BlockContext,
): { readonly messages: JsonObject[]; readonly system: JsonObject[] } {
  let first = 0;
  const system: JsonObject[] = [];
  for (; first < items.length; first++) {
    const item = items[first];
    if (item?.type !== "message" || !isForeignInstruction(item)) break;
    system.push(...withCache(encodeParts(item.parts, "system", isOwn(item), context), item));
  }
  const drafts: Draft[] = [];
  const turns = new UserTurns(context.target);
  for (let at = first; at < items.length; at++) {
    const item = items[at];
    if (item) addItem(drafts, item, context, turns);
  }
  turns.end();
  const foreign = drafts.some((draft) => !draft.verbatim);
  const kept = drafts.filter((draft) => draft.blocks.length > 0 || draft.empty);
  const paired = foreign ? beginWithUser(pairResults(kept, context), context) : kept;
  return { messages: paired.map(finish), system };
}

function isForeignInstruction(item: MessageItem): boolean {
  return (item.role === "system" || item.role === "developer") && item.envelope?.dialect !== DIALECT;
}

function addItem(drafts: Draft[], item: Item, context: BlockContext, turns: UserTurns): void {
  if (isModels(item)) turns.end();
  switch (item.type) {
    case "message":
      return addMessage(drafts, item, context, turns);
    case "reasoning":
      return add(drafts, "assistant", item, listOf(encodeThinking(item, context)));
    case "tool_call":
      return add(drafts, "assistant", item, [encodeToolUse(item, context)]);
    case "tool_result":
      return add(drafts, "user", item, [encodeToolResult(item, context, turns)]);
    case "compaction":
      return addCompaction(drafts, item, context);
    case "unknown":
      if (isOwn(item) && isObject(item.raw)) return add(drafts, item.role, item, [item.raw]);
      return context.note({ field: `items[].${item.kind}`, action: "dropped", reason: "Only its own language can carry it." });
  }
}

function addMessage(drafts: Draft[], item: MessageItem, context: BlockContext, turns: UserTurns): void {
  const own = isOwn(item);
  if (!isForeignInstruction(item)) {
    const role = item.role === "developer" ? "system" : item.role;
    const blocks = encodeParts(item.parts, role, own, context);
    if (role === "user") turns.message(item.parts, blocks);
    return add(drafts, role, item, blocks, item.parts.length === 0 && item.envelope?.dialect === DIALECT);
  }
  const blocks = encodeParts(item.parts, "system", own, context);
  if (context.target.capabilities.laterInstructions === true) return add(drafts, "system", item, blocks);
  if (blocks.length === 0) return;
  context.note({
    field: "items[].role",
    action: "degraded",
    reason: `The model takes instructions only at the start; a later ${item.role} message is sent in the user's turn, marked as what it is.`,
  });
  const text = blocks.map((block) => textAt(block, "text")).join("\n");
  add(drafts, "user", item, [{ type: "text", text: `<${item.role}>\n${text}\n</${item.role}>` }]);
}

function addCompaction(drafts: Draft[], item: Extract<Item, { type: "compaction" }>, context: BlockContext): void {
  if (isOwn(item)) {
    const block: JsonObject = isObject(item.raw)
      ? item.raw
      : { type: "compaction", content: item.text ?? null, ...(item.encrypted !== undefined && { encrypted_content: item.encrypted }) };
    return add(drafts, "assistant", item, [block]);
  }
  if (item.text === undefined) {
    return context.note({
      field: "items[].compaction",
      action: "dropped",
      reason: "The summary can be read only by the provider that made it.",
    });
  }
  context.note({ field: "items[].compaction", action: "degraded", reason: "The summary of earlier turns is sent as the user's text." });
  add(drafts, "user", item, listOf(textBlock(`Summary of the conversation so far:\n${item.text}`)));
}

function listOf(block: JsonObject | undefined): JsonObject[] {
  return block ? [block] : [];
}

function add(drafts: Draft[], role: Role, item: Item, encoded: readonly JsonObject[], empty = false): void {
  const envelope = item.envelope?.dialect === DIALECT && item.envelope.role === role ? item.envelope : undefined;
  const blocks = withCache(encoded, item);
  const last = drafts.at(-1);
  const joins = last?.role === role && (last.envelope === undefined || envelope === undefined || last.envelope === envelope);
  if (last && joins) {
    last.verbatim &&= envelope !== undefined && last.envelope === envelope;
    last.envelope ??= envelope;
    last.blocks.push(...blocks);
    return;
  }
  if (blocks.length === 0 && !empty && envelope === undefined) return;
  drafts.push({ role, envelope, blocks: [...blocks], verbatim: envelope !== undefined, empty });
}

/** A breakpoint after the whole item is one on its last block. */
function withCache(blocks: readonly JsonObject[], item: Item): readonly JsonObject[] {
  const last = blocks.at(-1);
  if (item.cacheTtlSeconds === undefined || !last || last["cache_control"] !== undefined || last["type"] === "thinking") return blocks;
  return [...blocks.slice(0, -1), { ...last, ...cacheControl(item.cacheTtlSeconds) }];
}

/**
 * The API wants every `tool_use` answered at the head of the very next message. Results are pulled there from wherever they stand; a
 * call that was never answered gets a result that says so.
 */
function pairResults(drafts: readonly Draft[], context: BlockContext): Draft[] {
  const results = new Map<string, { readonly block: JsonObject; readonly home: Draft }>();
  for (const draft of drafts) {
    for (const block of draft.blocks)
      if (draft.role === "user" && block["type"] === "tool_result") results.set(textAt(block, "tool_use_id"), { block, home: draft });
  }
  const paired: Draft[] = [];
  const moved = new Set<JsonObject>();
  for (const [at, draft] of drafts.entries()) {
    paired.push(draft);
    if (draft.role !== "assistant") continue;
    const calls = draft.blocks.filter((block) => block["type"] === "tool_use").map((block) => textAt(block, "id"));
    if (calls.length === 0) continue;
    let next = drafts[at + 1];
    if (next?.role !== "user") {
      next = { role: "user", envelope: undefined, blocks: [], verbatim: false, empty: false };
      paired.push(next);
    }
    const answers = calls.map((id) => results.get(id)?.block ?? unanswered(id, context));
    const here = new Set(answers);
    const own = next;
    for (const answer of answers) if (results.get(textAt(answer, "tool_use_id"))?.home !== own) moved.add(answer);
    const rest = own.blocks.filter((block) => !here.has(block));
    // A message that is as its sender wrote it keeps its order as long as nothing is missing from it.
    if (own.verbatim && answers.every((answer) => own.blocks.includes(answer))) continue;
    own.blocks.splice(0, own.blocks.length, ...answers, ...rest);
    own.verbatim = false;
  }
  return withoutMoved(paired, moved, results);
}

function withoutMoved(
  drafts: readonly Draft[],
  moved: ReadonlySet<JsonObject>,
  results: ReadonlyMap<string, { readonly block: JsonObject; readonly home: Draft }>,
): Draft[] {
  if (moved.size === 0) return [...drafts];
  for (const block of moved) {
    const home = results.get(textAt(block, "tool_use_id"))?.home;
    const at = home ? home.blocks.indexOf(block) : -1;
    if (home && at >= 0) home.blocks.splice(at, 1);
  }
  const kept: Draft[] = [];
  for (const draft of drafts) {
    const last = kept.at(-1);
    if (draft.blocks.length === 0 && !draft.empty) continue;
    // Taking a message out can leave two of the same side next to each other.
    if (last && last.role === draft.role && !last.envelope && !draft.envelope) last.blocks.push(...draft.blocks);
    else kept.push(draft);
  }
  return kept;
}

function unanswered(id: string, context: BlockContext): JsonObject {
  context.note({
    field: "items[].toolResult",
    action: "restored",
    reason: `The tool call ${id} has no result; the API demands one, so it is told that there is none.`,
  });
  return { type: "tool_result", tool_use_id: id, content: "There is no result: the tool was not run.", is_error: true };
}

/** The API wants the user to speak first. */
function beginWithUser(drafts: readonly Draft[], context: BlockContext): Draft[] {
  if (drafts[0]?.role !== "assistant") return [...drafts];
  context.note({
    field: "items",
    action: "degraded",
    reason: "The conversation begins with the assistant; a short user message is put before it.",
  });
  return [{ role: "user", envelope: undefined, blocks: [{ type: "text", text: "Hello." }], verbatim: false, empty: false }, ...drafts];
}

function finish(draft: Draft): JsonObject {
  const { role, envelope, blocks } = draft;
  const fields = envelope && isObject(envelope.raw["fields"]) ? envelope.raw["fields"] : {};
  const shape = envelope?.raw["shape"] ?? (blocks.length === 1 ? "string" : "list");
  if (shape === "absent" && blocks.length === 0) return { role, ...fields };
  const plain = shape === "string" && blocks.every(isPlainText);
  return { role, ...fields, content: plain ? blocks.map((block) => textAt(block, "text")).join("") : blocks };
}
