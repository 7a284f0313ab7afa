import { defineDialect, type Door, type Headers, type Json, type JsonObject } from "../../canon/index.ts";
import { commonLimits } from "../shared-limits.ts";
import { decodeAnswer, encodeAnswer, readAnswer } from "./answer.ts";
import { asArrayStream, isArrayStream } from "./array-stream.ts";
import { asTask } from "./as-task.ts";
import { decodeCall, outline, streamOf } from "./decode-call.ts";
import { ResponseDecoder } from "./decode-events.ts";
import { encodeCall, pathOf } from "./encode-call.ts";
import { ResponseEncoder } from "./encode-events.ts";
import { ResponseMeter } from "./meter.ts";
import { live } from "./live.ts";
import { encodeModel, encodeModels } from "./models.ts";
import { needs } from "./needs.ts";
import { decodeProblem, encodeProblem } from "./problem.ts";
import { at, DIALECT, isObject } from "./wire.ts";

const BEARER = /^bearer\s+(\S+)\s*$/i;

function credentials(headers: Headers): string | undefined {
  const key = headers["x-goog-api-key"];
  if (key !== undefined && key !== "") return key;
  return BEARER.exec(headers["authorization"] ?? "")?.[1];
}

/** Both versions of the API; they differ in what the provider offers, not in shape. */
const callDoors: readonly Door[] = ["/v1beta/models", "/v1/models"].flatMap((base): Door[] => [
  { method: "POST", path: `${base}/{model...}:generateContent`, does: { kind: "call", operation: "generate" } },
  {
    method: "POST",
    path: `${base}/{model...}:streamGenerateContent`,
    does: { kind: "call", operation: "generate" },
    params: { stream: "true" },
  },
  { method: "POST", path: `${base}/{model...}:countTokens`, does: { kind: "call", operation: "count_tokens" } },
]);

const doors: readonly Door[] = [
  ...callDoors,
  { method: "GET", path: "/v1beta/models", does: { kind: "models", action: "list" } },
  { method: "GET", path: "/v1beta/models/{model...}", does: { kind: "models", action: "one" } },
];

/** Google's generateContent. Source: the types of `@google/genai` 3, the Gemini API reference, and recorded traffic. */
const language = defineDialect({
  id: DIALECT,
  title: "Gemini generateContent",
  doors,
  modelInPath: true,
  credentials,
  queryHeaders: { key: "x-goog-api-key" },
  framedFor: (params) => (streamOf({ params }).array ? arrayStream : undefined),
  framedAs: (contentType) => (isArrayStream(contentType) ? arrayStream : undefined),
  encodeModels,
  encodeModel,
  realtime: live,
  answersModels: (headers) => headers["x-goog-api-key"] !== undefined,
  outline,
  asTask,
  needs,
  decodeCall,
  encodeCall,
  forwardCall(body, context, target) {
    const counts = context.operation === "count_tokens";
    const model = `models/${target.model}`;
    const wrapped = at(body, "generateContentRequest");
    const replace: Record<string, Json | undefined> = {};
    // The path names the model; where the body does so, too, they must agree.
    if (body["model"] !== undefined) replace["model"] = model;
    if (isObject(wrapped)) Object.assign(replace, unwrapped(body, wrapped, model, target.capabilities.refuses));
    return { path: pathOf(target.model, counts ? "count" : streamOf(context).stream ? "stream" : "generate"), headers: {}, replace };
  },
  decodeAnswer,
  encodeAnswer,
  decodeEvents: (emit, context) => new ResponseDecoder(emit, context.provider),
  encodeEvents: (emit, context, emitText) => new ResponseEncoder(emit, context, emitText),
  // The language gives usage in every stream, so nothing is ever asked for and withheld.
  usageFrames: () => new ResponseMeter(),
  readAnswer,
  decodeProblem,
  encodeProblem,
  encodeProblemFrames: (problem, callId, emit) => emit(undefined, JSON.stringify(encodeProblem(problem, callId).body)),
  newAnswerId: (unique) => unique,
  // Every part may have a signature, and every client sends it back.
  carriesReasoning: () => true,
  encodeLimits: commonLimits,
  encodeCount: (tokens) => ({ totalTokens: tokens }),
  decodeCount: (body) => {
    const total = isObject(body) ? at(body, "totalTokens") : undefined;
    return typeof total === "number" ? total : undefined;
  },
});

const arrayStream = asArrayStream(language);

export default language;

/** A count's request, for an upstream that wants it wrapped or as it is. */
function unwrapped(
  body: JsonObject,
  wrapped: JsonObject,
  model: string,
  refuses: readonly string[] = [],
): Record<string, Json | undefined> {
  const name = body["generateContentRequest"] === undefined ? "generate_content_request" : "generateContentRequest";
  if (!refuses.includes("generateContentRequest")) return { [name]: { ...wrapped, model } };
  return { ...wrapped, model: undefined, [name]: undefined };
}
