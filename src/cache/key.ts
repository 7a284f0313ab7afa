import { hash } from "node:crypto";
import type { Alias, AliasCache, Call, Caller, Item, Json, JsonObject, Part, ToolSpec } from "../canon/index.ts";
import { isRecord, sorted, unspokenIn } from "./canonical-json.ts";

/** What besides the call itself makes two calls identical. */
export interface KeyFacts {
  /** Who shares the answer; see `tenantOf`. */
  readonly tenant: string;
  /** Whatever guards and policies apply: two calls under different ones are not identical. */
  readonly policy: string;
  readonly alias: Alias;
  /** Labels of the call outside its body, where the alias asks for them. */
  readonly labels?: JsonObject;
}

/** Changes when what the key is made of does: answers kept by an earlier version are then never found. */
const KEY_VERSION = 1;

/** Fields of `native` that change an answer though their language counts them as spoken elsewhere, because others need not know them. */
const ALWAYS_NAMED = ["include"];

/**
 * The exact key: SHA-256, base64url, of the tenant, the policy scope, the alias with its definition, and everything of the canonical call
 * that can change an answer. Not part of it: whether the answer is streamed, metadata and end user (unless the alias's `keyWith` names
 * them), prompt-cache hints, item ids, whether the turn is kept. What only the caller's own language can say (`unspoken`) is part of it
 * together with that language, so that calls of different languages are identical only when neither says such things.
 */
export function cacheKey(call: Call, facts: KeyFacts): string {
  const { alias } = facts;
  return digest([
    KEY_VERSION,
    facts.tenant,
    facts.policy,
    alias.name,
    versionOf(alias),
    call.operation,
    conversation(call),
    call.tools.map(toolOf),
    call.toolChoice === undefined || call.toolChoice.type === "native" ? null : sorted(call.toolChoice),
    call.parallelToolCalls ?? null,
    sorted(call.output?.format),
    call.output?.verbosity ?? null,
    call.reasoning ? sorted(call.reasoning) : null,
    sorted(call.sampling),
    call.maxOutputTokens ?? null,
    call.serviceTier ?? null,
    call.thread ?? null,
    ownOfCall(call),
    alias.cache?.keyWith.includes("endUser") ? (call.endUser ?? null) : null,
    alias.cache?.keyWith.includes("metadata") ? sorted([call.metadata, facts.labels]) : null,
  ]);
}

/**
 * Tells whether the bytes of one call's answer can be given to another call of the same key as they are: the same language in the same
 * version, and the same in everything that an answer may echo.
 */
export function wireKey(call: Call): string {
  const { model: _model, stream: _stream, stream_options: _options, ...echoed } = call.native;
  return digest([call.origin.dialect, call.origin.version ?? null, sorted(call.origin.betas), sorted(echoed)]);
}

/** Who shares an answer. The kinds are kept apart by name: no key's id is ever taken for a team. */
export function tenantOf(caller: Pick<Caller, "scope" | "team" | "project">, share: AliasCache["share"]): string {
  if (share === "all") return "all";
  if (share === "team" && caller.team !== undefined) return JSON.stringify(["team", caller.team]);
  if (share === "project" && caller.project !== undefined) return JSON.stringify(["project", caller.team ?? null, caller.project]);
  return JSON.stringify(["key", caller.scope]);
}

const versions = new WeakMap<Alias, string>();

/** Names an alias's definition: whatever decides which model answers. How often and how long is tried does not. */
export function versionOf(alias: Alias): string {
  let version = versions.get(alias);
  if (version === undefined) {
    const { cache: _cache, lineage: _lineage, retries: _retries, timeoutMs: _timeoutMs, continue: _continue, ...definition } = alias;
    versions.set(alias, (version = digest(sorted(definition))));
  }
  return version;
}

function digest(value: Json): string {
  return hash("sha256", JSON.stringify(value), "base64url");
}

/** Standing instructions outside the list and a first system message say the same thing. */
function conversation(call: Call): Json[] {
  const { instructions } = call;
  const told: Json[] = [];
  if (instructions) {
    told.push(["message", "system", instructions.parts.map(partOf), null, unspokenIn(instructions.raw, MESSAGE_MEMBERS), false]);
  }
  let before: Item["envelope"];
  for (const item of call.items) {
    // One message of two pieces is another conversation than two messages of one.
    told.push([...itemOf(item), item.envelope !== undefined && item.envelope === before]);
    before = item.envelope;
  }
  return told;
}

/** Members whose meaning the canonical item has, or that have none for the model. Whatever else `raw` holds counts. */
const SHARED = ["type", "id", "status", "role", "content", "text", "message", "cut", "shape", "fields", "tool_calls", "place"];
const PART = ["image_url", "url", "detail", "source", "media_type", "data", "file_id", "refusal", "annotations", "logprobs"];
const MESSAGE_MEMBERS: ReadonlySet<string> = new Set([...SHARED, ...PART, "phase"]);
const TOOL_MEMBERS: ReadonlySet<string> = new Set([
  ...SHARED,
  ...PART,
  "name",
  "namespace",
  "input",
  "arguments",
  "function",
  "custom",
  "call_id",
  "tool_call_id",
  "tool_use_id",
  "output",
  "is_error",
]);
const REASONING_MEMBERS: ReadonlySet<string> = new Set([
  ...SHARED,
  "summary",
  "thinking",
  "signature",
  "encrypted_content",
  "data",
  "reasoning",
  "reasoning_content",
]);
const DECLARATION_MEMBERS: ReadonlySet<string> = new Set([
  "type",
  "name",
  "description",
  "parameters",
  "input_schema",
  "strict",
  "function",
  "custom",
  "format",
  "tools",
]);

function itemOf(item: Item): Json[] {
  const beyond = (members: ReadonlySet<string>): Json => ownOf(item, members);
  switch (item.type) {
    case "message":
      return [item.type, item.role, item.parts.map(partOf), item.phase ?? null, beyond(MESSAGE_MEMBERS)];
    case "reasoning":
      return [
        item.type,
        item.parts.map(({ kind, text }) => [kind, text]),
        item.signature ?? null,
        item.encrypted ?? null,
        beyond(REASONING_MEMBERS),
      ];
    case "tool_call":
      return [
        item.type,
        item.callId,
        item.namespace ?? null,
        item.name,
        item.kind,
        item.kind === "function" ? argumentsOf(item.input) : item.input,
        item.signature ?? null,
        beyond(TOOL_MEMBERS),
      ];
    case "tool_result":
      return [item.type, item.callId, item.kind, item.parts.map(partOf), item.isError ?? false, beyond(TOOL_MEMBERS)];
    case "compaction":
      return [item.type, item.text ?? null, item.encrypted ?? null];
    case "unknown":
      return [item.type, item.kind, item.role, item.callId ?? null, sorted(item.raw)];
  }
}

/** What only the item's own language says of it, with that language's name. */
function ownOf(item: Item, members: ReadonlySet<string>): Json {
  const raw = unspokenIn(item.raw, members);
  const container = unspokenIn(item.envelope?.raw, members);
  if (raw === null && container === null) return null;
  return [item.origin?.dialect ?? item.envelope?.dialect ?? null, raw, container];
}

function partOf(part: Part): Json {
  switch (part.type) {
    case "text":
    case "refusal":
      return [part.type, part.text, unspokenIn(part.raw, MESSAGE_MEMBERS)];
    case "unknown":
      return [part.type, part.kind, sorted(part.raw)];
    default: {
      const { raw, cacheTtlSeconds: _ttl, ...said } = part;
      return [sorted(said), unspokenIn(raw, MESSAGE_MEMBERS)];
    }
  }
}

/** Arguments are JSON text; how it is spaced and ordered is no difference. */
function argumentsOf(input: string): Json {
  try {
    return sorted(JSON.parse(input));
  } catch {
    return input;
  }
}

function toolOf(tool: ToolSpec): Json {
  if (tool.type === "native") return [tool.type, tool.kind, tool.name ?? null, sorted(tool.raw)];
  const beyond = unspokenIn(tool.raw, DECLARATION_MEMBERS);
  const named: Json[] = [tool.type, tool.name, tool.description ?? null, beyond];
  if (tool.type === "namespace") return [...named, tool.tools.map(toolOf)];
  if (tool.type === "custom") return [...named, sorted(tool.format)];
  // An absent schema, an empty one, and strictness left to the language's default are told apart: languages differ in them.
  return [...named, sorted(tool.schema), tool.strict ?? null];
}

/** What only the caller's language can say of the whole call, with that language and its opt-ins. */
function ownOfCall(call: Call): Json {
  const said: Json[] = [];
  for (const path of call.unspoken ?? []) said.push([path, sorted(at(call.native, path))]);
  for (const field of ALWAYS_NAMED) if (call.native[field] !== undefined) said.push([field, sorted(call.native[field])]);
  if (call.toolChoice?.type === "native") said.push(["tool_choice", sorted(call.native["tool_choice"])]);
  const betas = call.origin.betas ?? [];
  if (said.length === 0 && betas.length === 0) return null;
  said.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return [call.origin.dialect, said, sorted(betas.toSorted())];
}

/** The value behind `field` or `field.member`. */
function at(native: JsonObject, path: string): Json | undefined {
  if (native[path] !== undefined) return native[path];
  const dot = path.indexOf(".");
  const outer = dot < 0 ? undefined : native[path.slice(0, dot)];
  return isRecord(outer) ? outer[path.slice(dot + 1)] : undefined;
}
