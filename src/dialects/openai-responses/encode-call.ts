import type { Call, EncodeTarget, Json, JsonObject, ToolSpec, WireRequest } from "../../canon/index.ts";
import { narrowToAllowed } from "../shared-choice.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { refuseEmptyConversation, refuseForeignTurn, refuseKeptPrompt } from "../shared-lost.ts";
import { fieldRefused, PATHS, refusedFields, spoken } from "./decode-call.ts";
import { encodeInput } from "./encode-items.ts";
import type { Note } from "./encode-parts.ts";
import { encodeParam, OVERLAPS, PARAMS, SEALED_REASONING, type ParamName } from "./params.ts";
import { ID, isList, type Draft } from "./shape.ts";

/** Fields that only mean something to the gateway's own door. */
const DOOR_FIELDS = ["background", "previous_response_id", "generate", "stream_id"];

/** The call as a request to a provider. Same language: verbatim but for what was touched. */
export function encodeCall(given: Call, target: EncodeTarget, note: Note): WireRequest {
  const call = given.origin.dialect === ID ? given : narrowToAllowed(given, note);
  const own = call.origin.dialect === ID;
  const expanded = call.touched.has("items") || call.touched.has("previousId");
  if (!own) {
    refuseKeptPrompt(call, target);
    refuseForeignTurn(call.items, (item) => item.origin?.dialect === ID, target);
    noteUnspoken(call, note);
  }
  const body: Draft = own ? { ...call.native } : {};
  body["model"] = target.model;
  if (own) for (const name of PARAMS) overwrite(name);
  else for (const name of PARAMS) Object.assign(body, encodeParam(name, call, target, note));
  if (call.instructions) body["instructions"] = encodeInstructions(call);
  else if (call.touched.has("instructions")) delete body["instructions"];
  encodeToolList(call, own, body, note);
  if (call.items.length > 0 || !own) body["input"] = encodeInput(call.items, expanded, target, note);
  if (!own && isList(body["input"]) && body["input"].length === 0) refuseEmptyConversation(call.items, target);
  if (!own || expanded || call.touched.has("background")) detach(call, target, own, expanded, body);
  for (const field of refusedFields(target)) {
    if (body[field] === undefined) continue;
    delete body[field];
    note(fieldRefused(field, target));
  }
  return { method: "POST", path: PATHS[spoken(call.operation)], headers: {}, body: JSON.stringify(body) };

  function overwrite(name: ParamName): void {
    if (!call.touched.has(name)) return;
    for (const key of OVERLAPS[name]) delete body[key];
    Object.assign(body, encodeParam(name, call, target, note));
  }
}

/**
 * The gateway keeps the turns, so the provider is to keep none: it is asked for sealed reasoning instead, which the next turn can bring
 * back. Only where reasoning is to be expected: models without it refuse to be asked.
 */
function detach(call: Call, target: EncodeTarget, own: boolean, expanded: boolean, body: Draft): void {
  for (const field of DOOR_FIELDS) delete body[field];
  if ((own && !expanded) || call.operation !== "generate") return;
  body["store"] = false;
  const { reasoning } = target.capabilities;
  if (reasoning === false || (reasoning !== true && call.reasoning === undefined)) return;
  const include = isList(body["include"]) ? body["include"] : [];
  if (!include.includes(SEALED_REASONING)) body["include"] = [...include, SEALED_REASONING];
}

function encodeInstructions(call: Call): Json {
  const { instructions } = call;
  if (!instructions) return null;
  if (instructions.origin?.dialect === ID && instructions.raw !== undefined) return instructions.raw;
  return instructions.parts.map((part) => part.text).join("\n\n");
}

function encodeToolList(call: Call, own: boolean, body: Draft, note: Note): void {
  if (call.tools.length === 0) {
    if (call.touched.has("tools") || !own) delete body["tools"];
    return;
  }
  const tools = call.tools.map((tool) => encodeTool(tool, note)).filter((tool) => tool !== undefined);
  if (tools.length > 0) body["tools"] = tools;
  else delete body["tools"];
}

/** One declaration; a tool that another provider runs itself is left out. */
export function encodeTool(tool: ToolSpec, note: Note): Json | undefined {
  if (tool.origin?.dialect === ID && tool.raw !== undefined) return tool.raw;
  const about = tool.type !== "native" && tool.description !== undefined ? { description: tool.description } : {};
  switch (tool.type) {
    case "function":
      // This language holds a schema strictly unless told otherwise; the others do not.
      return { type: "function", name: tool.name, ...about, parameters: tool.schema ?? NO_PARAMETERS, strict: tool.strict ?? false };
    case "custom":
      return { type: "custom", name: tool.name, ...about, ...(tool.format && { format: tool.format }) };
    case "namespace":
      return {
        type: "namespace",
        name: tool.name,
        description: tool.description ?? "",
        tools: tool.tools.map((inner) => encodeTool(inner, note)).filter((inner) => inner !== undefined),
      };
    case "native":
      note({ field: `tools[].${tool.kind}`, action: "dropped", reason: "Only the provider that runs this tool knows it." });
      return undefined;
  }
}

const NO_PARAMETERS: JsonObject = { type: "object", properties: {} };
