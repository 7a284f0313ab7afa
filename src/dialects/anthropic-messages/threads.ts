import { amend, invalid, type Call, type Json, type JsonObject } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { decodeTool } from "./tools.ts";
import { DIALECT, isList, isObject, textAt } from "./wire.ts";

/**
 * A message thread keeps the `system` and `tools` it was created with: a turn that continues it leaves both out and is answered as if it
 * had them. Changing them takes a new thread. Source: SDK 1.12.0, `ThreadState` and `ThreadFingerprintMismatchError`.
 */
const KEPT_FIELDS = ["system", "tools"] as const;

/** The fields of a call that its thread keeps, as JSON; undefined for a call outside a thread. */
export function turnFingerprint(call: Call): string | undefined {
  if (call.thread === undefined) return undefined;
  return JSON.stringify(keptFields(call));
}

function keptFields(call: Call): JsonObject {
  return {
    ...(call.instructions?.raw !== undefined && { system: call.instructions.raw }),
    ...(call.tools.length > 0 && { tools: call.tools.map((tool) => tool.raw ?? null) }),
  };
}

/**
 * The call with the thread's own `system` and `tools`. Sending them again is taken as agreement when they are the same.
 * @throws ProblemError invalid_request with code `thread_fingerprint_mismatch`
 */
export function continueTurn(call: Call, fingerprint: string): Call {
  const parsed = parseJson(fingerprint);
  const kept = isObject(parsed) ? parsed : {};
  const sent = keptFields(call);
  const changed = KEPT_FIELDS.filter((field) => sent[field] !== undefined && JSON.stringify(sent[field]) !== JSON.stringify(kept[field]));
  if (changed.length > 0) {
    throw invalid(
      `The thread keeps the fields it was created with, and ${changed.join(" and ")} differ. Leave them out, or replay the whole conversation with thread {"type":"create"} to change them.`,
      changed[0],
      "thread_fingerprint_mismatch",
    );
  }
  const { system, tools } = kept;
  return amend(call, {
    ...(system !== undefined && call.instructions === undefined && { instructions: instructionsOf(system) }),
    ...(isList(tools) && call.tools.length === 0 && { tools: tools.filter(isObject).map((tool, at) => decodeTool(tool, `tools.${at}`)) }),
  });
}

function instructionsOf(system: Json): NonNullable<Call["instructions"]> {
  const blocks: readonly Json[] = isList(system) ? system : [{ type: "text", text: system }];
  const parts = blocks.filter(isObject).map((block) => ({ type: "text" as const, text: textAt(block, "text"), raw: block }));
  return { parts, origin: { dialect: DIALECT }, raw: system };
}
