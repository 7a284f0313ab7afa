import { invalid, ProblemError, type JsonObject, type Problem, type SocketLanguage, type SocketMessage } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { socketProblem } from "./problem.ts";
import { isObject, optional, stringIn, textIn, without } from "./shape.ts";

/**
 * The language over a WebSocket: `response.create` with the fields of a request beside its type, then the same events as in a stream.
 * Source: `ResponsesClientEvent` and `ResponsesServerEvent` of the official SDK, the guide "WebSocket mode".
 */
export const socket: SocketLanguage = { read: readMessage, problem: socketError };

/** Fields of the envelope, and those of HTTP that have no meaning here. */
const ENVELOPE = ["type", "event_id", "stream_id", "stream"];

/** @throws ProblemError invalid_request, unsupported */
export function readMessage(text: string): SocketMessage {
  const message = parseJson(text);
  if (!isObject(message)) throw invalid("A message must be a JSON object with a `type`.");
  const type = stringIn(message["type"]);
  switch (type) {
    case "response.create":
      return { type: "call", body: bodyOf(message) };
    case "response.cancel": {
      const id = textIn(message["response_id"]);
      return { type: "cancel", ...(id !== undefined && { id }) };
    }
    case "response.steer":
      throw new ProblemError({
        kind: "unsupported",
        message: "A response under way cannot be steered through the gateway; cancel it or wait for its end.",
        code: "steering_not_supported",
      });
    case "response.processed":
    case "ping":
      return { type: "ignore" };
    default:
      throw invalid(`\`type\` must be response.create or response.cancel, not "${type.slice(0, 60)}".`, "type", "invalid_message_type");
  }
}

/** The request inside a message: its own fields, or those of a nested `response`. */
function bodyOf(message: JsonObject): JsonObject {
  const nested = message["response"];
  const body = isObject(nested) && message["model"] === undefined ? without(nested, ...ENVELOPE) : without(message, ...ENVELOPE);
  if (optional(body, "background", "boolean") === true) throw invalid("`background` is not possible over a WebSocket.", "background");
  // Parallel lanes would need every event to carry their name; refusing is better than mixing two conversations up.
  if (textIn(message["stream_id"]) !== undefined) {
    throw new ProblemError({
      kind: "unsupported",
      message: "Parallel lanes (`stream_id`) are not served; open one connection for each.",
      param: "stream_id",
      code: "invalid_stream_id",
    });
  }
  return { ...body, stream: true };
}

function socketError(problem: Problem, callId: string): string {
  return socketProblem(problem, callId);
}
