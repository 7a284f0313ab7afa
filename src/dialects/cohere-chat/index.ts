import { defineDialect } from "../../canon/index.ts";
import { commonLimits } from "../shared-limits.ts";
import { decodeAnswer, encodeAnswer, readAnswer } from "./answer.ts";
import { decodeCall, needs, outline } from "./decode-call.ts";
import { MessageDecoder } from "./decode-events.ts";
import { encodeCall, PATH } from "./encode-call.ts";
import { MessageEncoder } from "./encode-events.ts";
import { EventMeter } from "./meter.ts";
import { decodeProblem, encodeProblem, problemEvent } from "./problem.ts";
import { ID } from "./shape.ts";

/** Cohere's chat, version 2. Source: the types of `cohere-ai` 8, the API reference, and recorded traffic. */
export default defineDialect({
  id: ID,
  title: "Cohere chat",
  doors: [{ method: "POST", path: PATH, does: { kind: "call", operation: "generate" } }],
  credentials: (headers) => /^bearer\s+(\S+)\s*$/i.exec(headers["authorization"] ?? "")?.[1],
  // Its list of models stands on a path that others have for theirs.
  answersModels: () => false,
  outline,
  needs,
  decodeCall,
  encodeCall,
  forwardCall(body, _context, { capabilities }, note = () => {}) {
    if (capabilities.reasoning !== false || body["thinking"] === undefined) return { path: PATH, headers: {}, replace: {} };
    note({ field: "reasoning", action: "dropped", reason: "The model does not reason." });
    return { path: PATH, headers: {}, replace: { thinking: undefined } };
  },

  decodeAnswer,
  encodeAnswer,
  readAnswer,
  decodeEvents: (emit, context) => new MessageDecoder(emit, context.provider),
  encodeEvents: (emit, context, emitText) => new MessageEncoder(emit, context, emitText),
  usageFrames: () => new EventMeter(),

  decodeProblem,
  encodeProblem,
  encodeProblemFrames: (problem, callId, emit) => emit("message-end", JSON.stringify(problemEvent(problem, callId))),
  newAnswerId: (unique) => unique,
  encodeLimits: commonLimits,
});
