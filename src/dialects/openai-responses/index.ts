import { defineDialect, type Headers, type Json } from "../../canon/index.ts";
import { commonLimits } from "../shared-limits.ts";
import { decodeAnswer, encodeAnswer, newAnswerId, readAnswer } from "./answer.ts";
import { decodeCall, forwardCall, outline } from "./decode-call.ts";
import { ResponsesDecoder } from "./decode-events.ts";
import { encodeCall } from "./encode-call.ts";
import { ResponsesEncoder } from "./encode-events.ts";
import { encodeDeleted, encodeItems, encodePending, replayAfter } from "./kept.ts";
import { ResponsesMeter } from "./meter.ts";
import { needs } from "./needs.ts";
import { itemIds } from "./output-items.ts";
import { SEALED_REASONING } from "./params.ts";
import { decodeProblem, encodeProblem, encodeProblemFrames } from "./problem.ts";
import { ID, isList, isObject } from "./shape.ts";
import { realtime } from "./realtime.ts";
import { socket } from "./socket.ts";

/** OpenAI Responses, and what Open Responses specifies of it. Source: openresponses.org, the types of the official SDK. */
export default defineDialect({
  id: ID,
  title: "OpenAI Responses",
  doors: [
    { method: "POST", path: "/v1/responses", does: { kind: "call", operation: "generate" }, webSocket: true },
    { method: "POST", path: "/v1/responses/compact", does: { kind: "call", operation: "compact" } },
    { method: "POST", path: "/v1/responses/input_tokens", does: { kind: "call", operation: "count_tokens" } },
    { method: "GET", path: "/v1/responses/{id}", does: { kind: "turn", action: "read" } },
    { method: "DELETE", path: "/v1/responses/{id}", does: { kind: "turn", action: "delete" } },
    { method: "POST", path: "/v1/responses/{id}/cancel", does: { kind: "turn", action: "cancel" } },
    { method: "GET", path: "/v1/responses/{id}/input_items", does: { kind: "turn", action: "items" } },
  ],
  requestIdHeader: "x-request-id",
  credentials: bearer,

  outline,
  needs,
  decodeCall,
  encodeCall,
  forwardCall,

  decodeAnswer,
  encodeAnswer,
  readAnswer,

  decodeEvents: (emit, context) => new ResponsesDecoder(emit, context),
  encodeEvents: (emit, context, emitText) => new ResponsesEncoder(emit, context, emitText),
  // Usage always comes in the last event, so there is never an extra frame to withhold.
  usageFrames: () => new ResponsesMeter(),

  decodeProblem,
  encodeProblem,
  encodeLimits: commonLimits,
  encodeProblemFrames,

  newAnswerId,
  encodePending,
  encodeDeleted,
  encodeItems,
  itemIds,
  replayAfter,
  carriesReasoning: (call) => isList(call.native["include"]) && call.native["include"].includes(SEALED_REASONING),
  socket,
  realtime,
  encodeCount: (tokens) => ({ object: "response.input_tokens", input_tokens: tokens }),
  decodeCount,
});

function bearer(headers: Headers): string | undefined {
  return /^Bearer\s+(\S+)\s*$/i.exec(headers["authorization"] ?? "")?.[1];
}

function decodeCount(body: Json): number | undefined {
  const tokens = isObject(body) ? body["input_tokens"] : undefined;
  return typeof tokens === "number" && Number.isSafeInteger(tokens) && tokens >= 0 ? tokens : undefined;
}
