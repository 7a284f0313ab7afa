import { defineDialect } from "../../canon/index.ts";
import { jsonLines } from "../../kit/index.ts";
import { decodeAnswer, encodeAnswer, readAnswer } from "./answer.ts";
import { decodeCall, needs, outline } from "./decode-call.ts";
import { FrameDecoder } from "./decode-events.ts";
import { encodeCall, PATHS } from "./encode-call.ts";
import { FrameEncoder } from "./encode-events.ts";
import { LineMeter } from "./meter.ts";
import { encodeModel, encodeModels, modelAsked } from "./models.ts";
import { decodeProblem, encodeProblem, errorBody } from "./problem.ts";
import { ID } from "./shape.ts";

/** The release of the server whose API this is; clients ask what they may use. */
const LIKE_VERSION = "0.12.6";

/** Ollama's own API. Source: its `docs/api.md` and the types of the package `ollama` (0.6). */
export default defineDialect({
  id: ID,
  title: "Ollama",
  doors: [
    { method: "POST", path: PATHS.chat, params: { shape: "chat" }, does: { kind: "call", operation: "generate" } },
    { method: "POST", path: PATHS.generate, params: { shape: "generate" }, does: { kind: "call", operation: "generate" } },
    { method: "GET", path: "/api/tags", does: { kind: "models", action: "list" } },
    { method: "POST", path: "/api/show", does: { kind: "models", action: "one" } },
    { method: "GET", path: "/api/version", does: { kind: "greeting" } },
  ],
  framing: jsonLines,
  credentials: (headers) => /^bearer\s+(\S+)\s*$/i.exec(headers["authorization"] ?? "")?.[1],
  greeting: { version: LIKE_VERSION },
  encodeModels,
  encodeModel,
  modelAsked,
  // Its clients ask at a door of their own.
  answersModels: () => false,
  outline,
  needs,
  decodeCall,
  encodeCall,
  forwardCall(body, { params }, { capabilities }, note = () => {}) {
    const path = params["shape"] === "generate" ? PATHS.generate : PATHS.chat;
    if (capabilities.reasoning !== false || body["think"] === undefined || body["think"] === false)
      return { path, headers: {}, replace: {} };
    note({ field: "reasoning", action: "dropped", reason: "The model does not reason." });
    return { path, headers: {}, replace: { think: undefined } };
  },

  decodeAnswer,
  encodeAnswer,
  readAnswer,
  decodeEvents: (emit, context) => new FrameDecoder(emit, context),
  encodeEvents: (emit, context, emitText) => new FrameEncoder(emit, context, emitText),
  usageFrames: () => new LineMeter(),

  decodeProblem,
  encodeProblem,
  encodeProblemFrames: (problem, callId, emit) => emit(undefined, JSON.stringify(errorBody(problem, callId))),
});
