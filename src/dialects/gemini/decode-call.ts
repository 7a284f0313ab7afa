import {
  invalid,
  type Call,
  type DoorContext,
  type Item,
  type Json,
  type JsonObject,
  type Outline,
  type OutputFormat,
  type Sampling,
  type TextPart,
} from "../../canon/index.ts";
import { unspokenFields, type FieldTable } from "../shared-fields.ts";
import { CallIds, decodeParts, decodeText, frameOf, roleOf } from "./decode-parts.ts";
import { decodeReasoning } from "./reasoning.ts";
import { jsonSchemaOf } from "./schema.ts";
import { isCarried } from "./signatures.ts";
import { decodeToolChoice, decodeTools } from "./tools.ts";
import {
  at,
  camelCased,
  DIALECT,
  isList,
  isObject,
  needList,
  needObject,
  needString,
  readBoolean,
  readCount,
  readList,
  readNumber,
  readObject,
  readString,
  without,
} from "./wire.ts";

const ORIGIN = { dialect: DIALECT };
/** More turns than any context window holds. */
const MAX_CONTENTS = 100_000;
/** Wire version of calls whose stream travels as a JSON array. */
export const ARRAY_STREAM = "array";

/** A count may wrap the request that it is for; everything else is the request itself. @throws ProblemError invalid_request */
export function requestIn(body: JsonObject): JsonObject {
  return readObject(at(body, "generateContentRequest"), "generateContentRequest") ?? body;
}

/** The model's name, which stands in the path; some clients put `models/` before it once more. @throws ProblemError invalid_request */
export function modelOf({ params }: Pick<DoorContext, "params">): string {
  const model = params["model"] ?? "";
  if (model === "") throw invalid("model: the path names no model.", "model");
  return model.startsWith("models/") ? model.slice("models/".length) : model;
}

/** Does the door stream, and does the client want the stream as an array of JSON instead of events? */
export function streamOf({ params }: Pick<DoorContext, "params">): { readonly stream: boolean; readonly array: boolean } {
  const stream = params["stream"] === "true";
  return { stream, array: stream && params["alt"] !== "sse" };
}

/** What the pipeline must know of a request to send it on unread. @throws ProblemError invalid_request */
export function outline(body: JsonObject, context: DoorContext): Outline {
  const request = requestIn(body);
  const model = modelOf(context);
  const { stream, array } = streamOf(context);
  const contents = needContents(request);
  const generation = readObject(at(request, "generationConfig"), "generationConfig") ?? {};
  const maxOutputTokens = readCount(at(generation, "maxOutputTokens"), "generationConfig.maxOutputTokens");
  const choices = readCount(at(generation, "candidateCount"), "generationConfig.candidateCount");
  const serviceTier = readString(at(request, "serviceTier"), "serviceTier");
  const slow = array ? "the stream is put together as a JSON array" : foreignTraces(contents);
  return {
    model,
    stream,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(choices !== undefined && choices > 1 && { choices }),
    ...(serviceTier !== undefined && { serviceTier: serviceTier.toLowerCase() }),
    keep: false,
    background: false,
    ...(slow !== undefined && { slow }),
  };
}

/** Reasoning of another provider's model, sealed here for the client to carry: no provider could read it. */
function foreignTraces(contents: readonly Json[]): string | undefined {
  for (const content of contents) {
    if (!isObject(content) || !isList(content["parts"])) continue;
    for (const part of content["parts"]) {
      const signature = isObject(part) ? at(part, "thoughtSignature") : undefined;
      if (typeof signature === "string" && isCarried(signature)) return "thinking that was sealed here must be taken out";
    }
  }
  return undefined;
}

function needContents(request: JsonObject): readonly Json[] {
  const contents = needList(request["contents"], "contents");
  if (contents.length > MAX_CONTENTS) throw invalid(`contents: at most ${MAX_CONTENTS} in one request.`, "contents");
  return contents;
}

/** @throws ProblemError invalid_request with `param` */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const { model, stream, maxOutputTokens, serviceTier } = outline(body, context);
  const request = requestIn(body);
  const generation = readObject(at(request, "generationConfig"), "generationConfig") ?? {};
  const instructions = decodeInstructions(at(request, "systemInstruction"));
  const reasoning = decodeReasoning(generation);
  const format = decodeFormat(generation);
  const toolChoice = decodeToolChoice(request);
  const metadata = decodeLabels(request["labels"]);
  const unspoken = unspokenFields(spoken(request), FIELDS);
  const native = without(request, "contents", ...(instructions ? ["systemInstruction"] : []));
  return {
    operation: context.operation,
    origin: { ...ORIGIN, ...(streamOf(context).array && { version: ARRAY_STREAM }) },
    model,
    stream,
    ...(instructions && { instructions }),
    items: decodeContents(needContents(request)),
    tools: decodeTools(readList(request["tools"], "tools")),
    ...(toolChoice && { toolChoice }),
    ...(format && { output: { format } }),
    ...(reasoning && { reasoning }),
    sampling: decodeSampling(generation),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(metadata && { metadata }),
    ...(serviceTier !== undefined && { serviceTier }),
    // The layout of `tools` stays here, too: an entry may hold several.
    native: request === body ? native : { generateContentRequest: native },
    ...(unspoken.length > 0 && { unspoken }),
    touched: new Set(),
  };
}

function decodeInstructions(value: Json | undefined): Call["instructions"] {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return { parts: [{ type: "text", text: value }], origin: ORIGIN, raw: value };
  const content = needObject(value, "systemInstruction");
  const parts = (isList(content["parts"]) ? content["parts"] : [content["parts"]]).flatMap((part): TextPart[] =>
    isObject(part) && typeof part["text"] === "string" ? [decodeText(part)] : [],
  );
  return { parts, origin: ORIGIN, raw: content };
}

function decodeContents(contents: readonly Json[]): Item[] {
  const ids = new CallIds("call");
  return contents.flatMap((value, index): Item[] => {
    const path = `contents[${index}]`;
    const content = needObject(value, path);
    const role = roleOf(readString(content["role"], `${path}.role`) ?? "user");
    const { parts } = content;
    const envelope = { dialect: DIALECT, role, raw: frameOf(content) };
    const list = isObject(parts) ? [parts] : readList(parts, `${path}.parts`);
    const items = decodeParts(list, { role, origin: ORIGIN, envelope, ids }, `${path}.parts`);
    // A content without any part still leaves an item, so that it is there again on the way back.
    return items.length > 0 ? items : [{ type: "message", role, parts: [], origin: ORIGIN, envelope }];
  });
}

/** Members of `generationConfig` that the canonical form knows. */
const GENERATION = [
  "temperature",
  "topP",
  "topK",
  "seed",
  "presencePenalty",
  "frequencyPenalty",
  "stopSequences",
  "candidateCount",
  "responseLogprobs",
  "logprobs",
  "maxOutputTokens",
  "responseMimeType",
  "responseSchema",
  "responseJsonSchema",
  "thinkingConfig",
];

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  model: true,
  contents: true,
  systemInstruction: true,
  tools: true,
  toolConfig: ["functionCallingConfig"],
  generationConfig: GENERATION,
  labels: true,
  serviceTier: true,
};

/** The request as `FIELDS` spells it, without what says nothing: text alone is what every language answers. */
function spoken(request: JsonObject): JsonObject {
  const fields = camelCased(request);
  const generation = isObject(fields["generationConfig"]) ? camelCased(fields["generationConfig"]) : undefined;
  if (!generation) return fields;
  const { responseModalities: modalities, ...rest } = generation;
  const textOnly = isList(modalities) && modalities.every((modality) => modality === "TEXT");
  return { ...fields, generationConfig: textOnly ? rest : generation };
}

function decodeFormat(generation: JsonObject): OutputFormat | undefined {
  const type = readString(at(generation, "responseMimeType"), "generationConfig.responseMimeType");
  const schema = readObject(at(generation, "responseJsonSchema"), "generationConfig.responseJsonSchema");
  const own = readObject(at(generation, "responseSchema"), "generationConfig.responseSchema");
  const found = schema ?? (own && jsonSchemaOf(own));
  // An enumeration written as text is a form that only this language has.
  if (type !== undefined && type !== "application/json") return undefined;
  if (!found) return type === undefined ? undefined : { type: "json_object" };
  const title = found["title"];
  return {
    type: "json_schema",
    name: typeof title === "string" && /^[\w-]{1,64}$/.test(title) ? title : "output",
    schema: found,
    strict: true,
  };
}

function decodeSampling(generation: JsonObject): Sampling {
  const number = (name: string): number | undefined => readNumber(at(generation, name), `generationConfig.${name}`);
  const stop = readList(at(generation, "stopSequences"), "generationConfig.stopSequences").map((text, index) =>
    needString(text, `generationConfig.stopSequences[${index}]`),
  );
  const asked = readBoolean(at(generation, "responseLogprobs"), "generationConfig.responseLogprobs");
  const top = readCount(at(generation, "logprobs"), "generationConfig.logprobs");
  const sampling: Record<keyof Sampling, Sampling[keyof Sampling] | undefined> = {
    temperature: number("temperature"),
    topP: number("topP"),
    topK: number("topK"),
    seed: number("seed"),
    presencePenalty: number("presencePenalty"),
    frequencyPenalty: number("frequencyPenalty"),
    stop: stop.length > 0 ? stop : undefined,
    n: readCount(at(generation, "candidateCount"), "generationConfig.candidateCount"),
    topLogprobs: asked === true ? (top ?? 0) : undefined,
  };
  return Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined));
}

function decodeLabels(labels: Json | undefined): Record<string, string> | undefined {
  const object = readObject(labels, "labels");
  return object && Object.fromEntries(Object.entries(object).map(([name, value]) => [name, needString(value, `labels.${name}`)]));
}
