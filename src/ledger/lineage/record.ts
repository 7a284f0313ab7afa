import { hash } from "node:crypto";
import {
  type Answer,
  type Call,
  type Item,
  type LineageDocument,
  type LineageRecord,
  type LineageRole,
  type LineageTool,
  type Part,
  textOf,
} from "../../canon/index.ts";
import { canonicalJson } from "../../kit/index.ts";

/** Tools' results and documents that are listed; the newest, because the older ones are those of earlier calls. */
export const LISTED = 128;
/** What says nothing to a model, or says again what the canonical form says: where an item came from, and its place there. */
const SILENT: ReadonlySet<string> = new Set(["raw", "envelope", "origin", "id", "cacheTtlSeconds", "carried", "logprobs"]);

export type LineageLink = readonly [role: LineageRole, name: string];

export interface LineageFacts {
  readonly callId: string;
  readonly callerId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Ids of this answer and of the one it continued, as the client knows them. */
  readonly turn?: string | undefined;
  readonly previous?: string | undefined;
  readonly cacheOrigin?: string | undefined;
}

export function textHash(text: string): string {
  return `sha256:${hash("sha256", text, "hex")}`;
}

/** By this name a call is linked to. */
export function callLink(callId: string): string {
  return `call:${callId}`;
}

/** By this name a turn is linked to: ids of answers are known to their own caller only. */
export function turnLink({ callerId }: Pick<LineageRecord, "callerId">, id: string): string {
  return `turn:${callerId}:${id}`;
}

/** Everything that the model is given, whatever language it came in: equal calls have equal hashes. The model's name is no part of it. */
export function promptHash(call: Call): string {
  const { operation, instructions, items, tools, toolChoice, parallelToolCalls, output, reasoning, sampling, maxOutputTokens } = call;
  const said = { operation, instructions: instructions?.parts, items, tools };
  const asked = { toolChoice, parallelToolCalls, output, reasoning, sampling, maxOutputTokens };
  return textHash(spokenJson({ ...said, ...asked }));
}

/** What a call was made of and what came of it. `answer` undefined: it has none. */
export function lineageOf(facts: LineageFacts, call: Call, answer: Answer | undefined): LineageRecord {
  const { callId, callerId, at, turn, previous, cacheOrigin } = facts;
  const { tools, documents } = givenTo(call);
  const said = answer?.items ?? [];
  const text = said.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join("");
  const cut = tools.length > LISTED || documents.length > LISTED;
  return {
    callId,
    callerId,
    at,
    prompt: promptHash(call),
    ...(text !== "" && { output: textHash(text) }),
    ...(said.length > 0 && { answer: textHash(spokenJson(said)) }),
    ...(turn !== undefined && { turn }),
    ...(previous !== undefined && { previous }),
    ...(cacheOrigin !== undefined && { cacheOrigin }),
    tools: tools.slice(-LISTED),
    calls: said.flatMap((item) =>
      item.type === "tool_call" ? [{ id: item.callId, name: item.name, arguments: textHash(item.input) }] : [],
    ),
    documents: documents.slice(-LISTED),
    ...(cut && { cut: true as const }),
  };
}

/** By what a record is found: what the call was given, and what it made. */
export function linksOf(record: LineageRecord): readonly LineageLink[] {
  const links: LineageLink[] = [["in", record.prompt]];
  if (record.previous !== undefined) links.push(["in", turnLink(record, record.previous)]);
  if (record.turn !== undefined) links.push(["out", turnLink(record, record.turn)]);
  if (record.cacheOrigin !== undefined) links.push(["in", callLink(record.cacheOrigin)]);
  for (const { result } of record.tools) if (result !== undefined) links.push(["in", result]);
  for (const document of record.documents) links.push(["in", document.hash]);
  for (const name of [record.template, record.redactions, ...(record.chunks ?? []), ...(record.approvals ?? [])])
    if (name !== undefined) links.push(["in", name]);
  for (const name of [record.output, record.answer, ...(record.made ?? [])]) if (name !== undefined) links.push(["out", name]);
  return links;
}

function givenTo({ instructions, items }: Call): { readonly tools: LineageTool[]; readonly documents: LineageDocument[] } {
  const tools: LineageTool[] = [];
  const documents: LineageDocument[] = [];
  const asked = new Map<string, { readonly name: string; readonly arguments: string }>();
  const given = textOf(instructions?.parts ?? []);
  if (given !== "") documents.push({ kind: "instructions", hash: textHash(given) });
  for (const item of items) {
    if (item.type === "tool_call") asked.set(item.callId, { name: item.name, arguments: textHash(item.input) });
    else if (item.type === "tool_result") tools.push({ id: item.callId, ...asked.get(item.callId), result: resultHash(item.parts) });
    else if (item.type === "message") documents.push(...documentsOf(item));
  }
  return { tools, documents };
}

/** A result that is all text has its text's hash. */
function resultHash(parts: readonly Part[]): string {
  const isText = parts.every(({ type }) => type === "text");
  return textHash(isText ? textOf(parts) : spokenJson(parts));
}

/** What an assistant said is one text, as it was when it was an answer; what others say is a text a part. */
function documentsOf({ role, parts }: Extract<Item, { type: "message" }>): LineageDocument[] {
  if (role === "assistant") {
    const text = textOf(parts);
    return text === "" ? [] : [{ kind: "assistant", hash: textHash(text) }];
  }
  return parts.flatMap((part) => documentOf(part, role === "user" ? "user" : "instructions"));
}

function documentOf(part: Part, kind: "user" | "instructions"): LineageDocument[] {
  switch (part.type) {
    case "text":
    case "refusal":
      return part.text === "" ? [] : [{ kind, hash: textHash(part.text) }];
    case "image":
    case "audio":
    case "file": {
      const { data, url, fileId } = part.source;
      const inline = part.type === "file" ? part.text : undefined;
      const content = inline ?? url ?? fileId;
      // Bytes by their own hash, as whoever holds the file makes it.
      const name = data === undefined ? content && textHash(content) : `sha256:${hash("sha256", Buffer.from(data, "base64"), "hex")}`;
      return name === undefined ? [] : [{ kind: part.type, hash: name }];
    }
    case "unknown":
      return [];
  }
}

/**
 * Canonical JSON (RFC 8785) without what says nothing; only of what the canonical form does not know is `raw` the meaning. In one pass:
 * copies made first cost as much again.
 */
export function spokenJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return canonicalJson(value);
  if (Array.isArray(value)) return `[${value.map(spokenJson).join(",")}]`;
  const { type } = value as { readonly type?: unknown };
  const keepsRaw = type === "unknown" || type === "native";
  let text = "";
  for (const key of Object.keys(value).toSorted()) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined || (SILENT.has(key) && !(key === "raw" && keepsRaw))) continue;
    // Free JSON: its members may have any name.
    const said = key === "raw" || key === "schema" ? canonicalJson(member) : spokenJson(member);
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${said}`;
  }
  return `{${text}}`;
}
