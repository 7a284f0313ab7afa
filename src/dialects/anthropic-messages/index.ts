import { defineDialect, type Headers } from "../../canon/index.ts";
import hosted from "../bedrock-converse/index.ts";
import { asInvoked, invokeDoors, isChunkStream, isInvoked } from "../bedrock-converse/invoke.ts";
import { decodeAnswer, encodeAnswer, readAnswer } from "./answer.ts";
import { batches } from "./batches.ts";
import { decodeCall, outline } from "./decode-call.ts";
import { MessageDecoder } from "./decode-events.ts";
import { encodeCall } from "./encode-call.ts";
import { MessageEncoder } from "./encode-events.ts";
import { MessageMeter } from "./meter.ts";
import { encodeLimits } from "./limits.ts";
import { answersModels, encodeModel, encodeModels } from "./models.ts";
import { needs } from "./needs.ts";
import { decodeProblem, encodeProblem, encodeProblemFrames } from "./problem.ts";
import { continueTurn, turnFingerprint } from "./threads.ts";
import { adaptBody, readBetas, readVersion, upstreamBetas, upstreamVersion, wireHeaders } from "./versions.ts";
import { DIALECT, isObject } from "./wire.ts";

const BEARER = /^bearer\s+/i;

function credentials(headers: Headers): string | undefined {
  const key = headers["x-api-key"];
  if (key !== undefined && key !== "") return key;
  const authorization = headers["authorization"];
  return authorization !== undefined && BEARER.test(authorization) ? authorization.replace(BEARER, "") : undefined;
}

/** The Messages API. Source: the types and stream accumulators of the SDK, releases 0.137.0 and 1.12.0; see `versions.ts`. */
const language = defineDialect({
  id: DIALECT,
  title: "Anthropic Messages",
  doors: [
    { method: "POST", path: "/v1/messages", does: { kind: "call", operation: "generate" } },
    { method: "POST", path: "/v1/messages/count_tokens", does: { kind: "call", operation: "count_tokens" } },
    ...invokeDoors,
  ],
  framedFor: (params) => (isInvoked(params) ? invoked : undefined),
  framedAs: (contentType) => (isChunkStream(contentType) ? invoked : undefined),
  requestIdHeader: "request-id",
  credentials,
  encodeModels,
  encodeModel,
  answersModels,
  outline,
  needs,
  decodeCall,
  encodeCall,
  forwardCall(body, context, target, note = () => {}) {
    const client = { version: readVersion(context.headers), betas: readBetas(context.headers) };
    return {
      path: context.operation === "count_tokens" ? "/messages/count_tokens" : "/messages",
      headers: wireHeaders(upstreamVersion(client.version, target.capabilities), upstreamBetas(client.betas, target.capabilities)),
      replace: adaptBody(body, client, target.capabilities, note),
    };
  },
  decodeAnswer,
  encodeAnswer,
  decodeEvents: (emit, context) => new MessageDecoder(emit, context.provider),
  encodeEvents: (emit, context, emitText) => new MessageEncoder(emit, context, emitText),
  // The language gives usage in every stream, so nothing is ever asked for and withheld.
  usageFrames: () => new MessageMeter(),
  readAnswer,
  decodeProblem,
  encodeProblem,
  encodeProblemFrames,
  newAnswerId: (unique) => `msg_${unique}`,
  // Every block of thinking has a signature, and every client sends it back.
  carriesReasoning: () => true,
  turnFingerprint,
  continueTurn,
  // Source: SDK 1.12.0, `ThreadAlreadyContinuedErrorDetails` and `ThreadContinueInFlightErrorDetails`; both are answered with 400.
  continuesOnce: true,
  batches,
  encodeLimits,
  encodeCount: (tokens) => ({ input_tokens: tokens }),
  decodeCount: (body) => (isObject(body) && typeof body["input_tokens"] === "number" ? body["input_tokens"] : undefined),
});

const invoked = asInvoked(language, hosted);

export default language;
