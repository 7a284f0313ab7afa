import { defineDialect } from "../../canon/index.ts";
import { decodeProblem, encodeProblem, errorBody } from "../openai-chat/problem.ts";
import { commonLimits } from "../shared-limits.ts";
import { decodeAnswer, encodeAnswer, readAnswer } from "./answer.ts";
import { decodeCall, needs, outline } from "./decode-call.ts";
import { ChunkDecoder } from "./decode-events.ts";
import { adaptations, encodeCall, PATH } from "./encode-call.ts";
import { ChunkEncoder } from "./encode-events.ts";
import { ChunkMeter } from "./meter.ts";
import { ID } from "./shape.ts";

/**
 * Legacy completions: one text is gone on with. Errors, usage and the ends of answers are those of chat completions. Source: the `openai`
 * package's types (7.57), "Completions".
 */
export default defineDialect({
  id: ID,
  title: "OpenAI Completions (legacy)",
  doors: [{ method: "POST", path: "/v1/completions", does: { kind: "call", operation: "generate" } }],
  requestIdHeader: "x-request-id",
  credentials(headers) {
    const bearer = /^bearer\s+(\S+)\s*$/i.exec(headers["authorization"] ?? "")?.[1];
    return bearer ?? (headers["api-key"]?.trim() || undefined);
  },
  outline,
  needs,
  decodeCall,
  encodeCall,
  forwardCall(body, _context, { capabilities }, note = () => {}) {
    const replace = adaptations(body, capabilities, note);
    // The only reason for which a field is ever replaced by a value.
    return { path: PATH, headers: {}, replace, ...(replace["stream_options"] !== undefined && { withholdUsage: true }) };
  },

  decodeAnswer,
  encodeAnswer,
  readAnswer,
  decodeEvents: (emit, context) => new ChunkDecoder(emit, context),
  encodeEvents: (emit, context, emitText) => new ChunkEncoder(emit, context, emitText),
  usageFrames: (options) => new ChunkMeter(options),

  // Both languages write errors alike: a body of the one is a body of the other.
  decodeProblem,
  encodeProblem,
  encodeLimits: commonLimits,
  newAnswerId: (unique) => `cmpl-${unique}`,
  encodeProblemFrames: (problem, callId, emit) => emit(undefined, JSON.stringify(errorBody(problem, callId))),
});
