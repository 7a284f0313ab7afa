import { cardAsJson, defineDialect, type Diagnostic, type Json, type ListedModel } from "../../canon/index.ts";
import { commonLimits } from "../shared-limits.ts";
import { adaptations } from "./adapt.ts";
import { adaptedMessages } from "./adapt-messages.ts";
import { decodeAnswer, encodeAnswer, readAnswer } from "./answer.ts";
import { batches } from "./batches.ts";
import { decodeCall, outline } from "./decode-call.ts";
import { ChunkDecoder } from "./decode-events.ts";
import { encodeCall, PATH } from "./encode-call.ts";
import { ChunkEncoder } from "./encode-events.ts";
import { ChunkMeter } from "./meter.ts";
import { files } from "./files.ts";
import { needs } from "./needs.ts";
import { decodeProblem, encodeProblem, errorBody } from "./problem.ts";
import { ID } from "./shape.ts";

/**
 * OpenAI Chat Completions and what compatible vendors made of it. Source: the `openai` package's types (7.57), and recorded traffic of
 * its vendors.
 */
export default defineDialect({
  id: ID,
  title: "OpenAI Chat Completions",
  doors: [{ method: "POST", path: "/v1/chat/completions", does: { kind: "call", operation: "generate" } }],
  requestIdHeader: "x-request-id",
  credentials(headers) {
    const bearer = /^bearer\s+(\S+)\s*$/i.exec(headers["authorization"] ?? "")?.[1];
    return bearer ?? (headers["api-key"]?.trim() || undefined);
  },
  encodeModels: (models) => ({ object: "list", data: models.map(listed) }),
  encodeModel: (model) => listed(model),
  outline,
  needs,
  decodeCall,
  encodeCall,
  forwardCall(body, _context, { capabilities }, note = () => {}) {
    const tell = onlyOnce(note);
    const messages = adaptedMessages(body["messages"], capabilities, tell);
    const replace = adaptations(body, capabilities, tell);
    return {
      path: PATH,
      headers: {},
      replace: messages === undefined ? replace : { ...replace, messages },
      // The only reason for which these are ever replaced by a value.
      ...(replace["stream_options"] !== undefined && { withholdUsage: true }),
    };
  },

  decodeAnswer,
  encodeAnswer,
  readAnswer,
  decodeEvents: (emit, context) => new ChunkDecoder(emit, context),
  encodeEvents: (emit, context, emitText) => new ChunkEncoder(emit, context, emitText),
  usageFrames: (options) => new ChunkMeter(options),

  decodeProblem,
  encodeProblem,
  encodeLimits: commonLimits,
  newAnswerId: (unique) => `chatcmpl-${unique}`,
  files,
  batches,
  encodeProblemFrames: (problem, callId, emit) => emit(undefined, JSON.stringify(errorBody(problem, callId))),
});

/** What holds for many messages is said once. */
function onlyOnce(note: (diagnostic: Diagnostic) => void): (diagnostic: Diagnostic) => void {
  const noted = new Set<string>();
  return (diagnostic) => {
    const key = `${diagnostic.field}\n${diagnostic.reason}`;
    if (noted.has(key)) return;
    noted.add(key);
    note(diagnostic);
  };
}

function listed({ id, createdAt, provider, card }: ListedModel): Json {
  return { id, object: "model", created: createdAt, owned_by: provider, ...(card && { gimbal: cardAsJson(card) }) };
}
