import { defineDialect } from "../../canon/index.ts";
import { decodeAnswer, encodeAnswer, readAnswer } from "./answer.ts";
import { decodeCall, needs, outline } from "./decode-call.ts";
import { EventMessageDecoder } from "./decode-events.ts";
import { encodeCall, pathOf } from "./encode-call.ts";
import { EventMessageEncoder } from "./encode-events.ts";
import { eventMessages } from "./framing.ts";
import { MessageMeter } from "./meter.ts";
import { decodeProblem, encodeProblem, problemFrame } from "./problem.ts";
import { ID } from "./shape.ts";

/** Amazon Bedrock's Converse. Source: the service's model `bedrock-runtime` 2023-09-30 and recorded traffic. */
export default defineDialect({
  id: ID,
  title: "Bedrock Converse",
  doors: [
    { method: "POST", path: "/model/{model...}/converse", does: { kind: "call", operation: "generate" } },
    {
      method: "POST",
      path: "/model/{model...}/converse-stream",
      params: { stream: "true" },
      does: { kind: "call", operation: "generate" },
    },
  ],
  framing: eventMessages,
  modelInPath: true,
  requestIdHeader: "x-amzn-requestid",
  // A signature proves a secret that only its own service knows, and is no key of ours.
  credentials: (headers) => /^bearer\s+(\S+)\s*$/i.exec(headers["authorization"] ?? "")?.[1],
  // Its clients list models at another service.
  answersModels: () => false,
  outline,
  needs,
  decodeCall,
  encodeCall,
  forwardCall: (_body, { params }, target) => ({ path: pathOf(target.model, params["stream"] === "true"), headers: {}, replace: {} }),

  decodeAnswer,
  encodeAnswer,
  readAnswer,
  decodeEvents: (emit, context) => new EventMessageDecoder(emit, context.provider),
  encodeEvents: (emit, context, emitText) => new EventMessageEncoder(emit, context, emitText),
  usageFrames: () => new MessageMeter(),

  decodeProblem,
  encodeProblem,
  encodeProblemFrames: (problem, callId, emit) => {
    const { event, data } = problemFrame(problem, callId);
    emit(event, data);
  },
  carriesReasoning: () => true,
});
