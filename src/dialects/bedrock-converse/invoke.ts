import {
  invalid,
  type Dialect,
  type Door,
  type DoorContext,
  type EmitEvent,
  type EmitFrame,
  type Event,
  type EventDecoder,
  type EventEncoder,
  type Framing,
  type Headers,
  type Json,
  type JsonObject,
  type WireFrame,
} from "../../canon/index.ts";
import { mediaType, parseJson } from "../../kit/index.ts";
import { isList, isObject, text } from "../shared-shape.ts";
import { readMessage, writeMessage } from "./event-message.ts";
import { eventMessages, headersOf, isException } from "./framing.ts";
import { encodeProblem, problemFrame, streamProblem } from "./problem.ts";

/**
 * The service's InvokeModel: another maker's own language in the body, with its version there and the model in the path, and its streamed
 * events in base64 within binary messages. Source: the service's model `bedrock-runtime` 2023-09-30, and its guide's "Anthropic Claude
 * Messages API".
 */

/** What a body says of its version for the language's first; later ones go by their own name. Source: `@anthropic-ai/bedrock-sdk` 0.36 and 1.1. */
const HOSTED_VERSION = "bedrock-2023-05-31";
const FIRST_VERSION = "2023-06-01";

/** The version in a body for one of the language's own. */
export function hostedVersion(version: string | undefined): string {
  return version === undefined || version === FIRST_VERSION ? HOSTED_VERSION : version;
}
const CHUNK = "chunk";
/** Longest list of opt-ins read from one body. */
const MOST_BETAS = 64;

export const invokeDoors: readonly Door[] = [
  ["invoke", "whole"],
  ["invoke-with-response-stream", "stream"],
].map(([verb, how = ""]): Door => {
  return { method: "POST", path: `/model/{model...}/${verb}`, params: { invoked: how }, does: { kind: "call", operation: "generate" } };
});

export function isInvoked(params: Readonly<Record<string, string>>): boolean {
  return params["invoked"] !== undefined;
}

/** Is a stream of this content type one of such chunks? */
export function isChunkStream(contentType: string): boolean {
  return mediaType(contentType) === eventMessages.contentType;
}

/** Where a model is invoked, below the service's address. */
export function invokePath(model: string, stream: boolean): string {
  return `/model/${encodeURIComponent(model)}/invoke${stream ? "-with-response-stream" : ""}`;
}

const OPENING = '{"bytes":"';
const CLOSING = '"}';
const QUOTE = 34;
const opening = Buffer.from(OPENING);

/** The bytes in a chunk's payload; undefined when there are none. */
function bytesIn(payload: Buffer): Buffer | undefined {
  // As the service writes it; anything else is read as any JSON is.
  if (payload.subarray(0, opening.length).equals(opening)) {
    const end = payload.indexOf(QUOTE, opening.length);
    if (end > 0) return Buffer.from(payload.toString("latin1", opening.length, end), "base64");
  }
  const body = parseJson(payload.toString("utf8"));
  const said = isObject(body) ? text(body["bytes"]) : undefined;
  return said === undefined ? undefined : Buffer.from(said, "base64");
}

/** What a message of such a stream holds: an event of the language, the service's own exception, or something else without meaning. */
export function openChunk(frame: Uint8Array): { readonly event: Buffer } | { readonly other: WireFrame | undefined } {
  const message = frame.length === 0 ? undefined : readMessage(frame);
  const isChunk = message?.head.type === "event" && message.head.named[":event-type"] === CHUNK;
  const event = isChunk ? bytesIn(message.payload) : undefined;
  return event ? { event } : { other: isChunk ? { data: "" } : eventMessages.parse(frame) };
}

/** A message with an event of the language. */
function chunkOf(data: string): Buffer {
  const written = Buffer.from(data).toString("base64");
  return writeMessage(headersOf(CHUNK), OPENING.length + written.length + CLOSING.length, (bytes, at) => {
    bytes.write(OPENING, at);
    bytes.write(written, at + OPENING.length, "latin1");
    bytes.write(CLOSING, at + OPENING.length + written.length);
  });
}

const CHUNKS: Framing = {
  contentType: eventMessages.contentType,
  cutter: eventMessages.cutter,
  parse(frame) {
    const opened = openChunk(frame);
    return "event" in opened ? { data: opened.event.toString("utf8") } : opened.other;
  },
  format: (event, data) => (event !== undefined && isException(event) ? eventMessages.format(event, data) : chunkOf(data)),
};

/** The language as clients of this service speak it. Towards providers it is not used. */
export function asInvoked(language: Dialect, service: Pick<Dialect, "credentials">): Dialect {
  return {
    ...language,
    framing: CHUNKS,
    modelInPath: true,
    requestIdHeader: "x-amzn-requestid",
    credentials: (headers) => service.credentials(headers) ?? language.credentials(headers),
    outline: (body, context) => ({ ...language.outline(...plainly(body, context)), slow: "the request is said in the service's own way" }),
    decodeCall: (body, context) => language.decodeCall(...plainly(body, context)),
    decodeEvents: (emit, context) => new ChunkDecoder(emit, context.provider, (inner) => language.decodeEvents(inner, context)),
    encodeEvents: (emit, context) => new ChunkEncoder(emit, language.encodeEvents(emit, context)),
    encodeProblem,
    encodeProblemFrames(problem, callId, emit) {
      const { event, data } = problemFrame(problem, callId);
      emit(event, data);
    },
  };
}

/** The request as the language itself has it. @throws ProblemError invalid_request */
function plainly(given: JsonObject, { operation, headers, params }: DoorContext): [JsonObject, DoorContext] {
  const { anthropic_version: version, anthropic_beta: betas, ...body } = given;
  const said = text(version);
  if (said === undefined)
    throw invalid(
      `anthropic_version: must be "${HOSTED_VERSION}" or a later version. Here are models invoked in Anthropic's language; others are reached at /model/{model}/converse.`,
      "anthropic_version",
    );
  const named: Headers = {
    ...headers,
    "anthropic-version": said === HOSTED_VERSION ? FIRST_VERSION : said,
    "anthropic-beta": betasIn(betas),
  };
  const stream = params["invoked"] === "stream";
  return [
    { ...body, model: params["model"] ?? "", stream },
    { operation, headers: named, params },
  ];
}

function betasIn(betas: Json | undefined): string | undefined {
  if (betas === undefined || betas === null) return undefined;
  const names = isList(betas) && betas.length <= MOST_BETAS ? betas.map((beta) => text(beta) ?? "") : [""];
  if (!names.every((name) => /^[\w.-]+$/.test(name)))
    throw invalid(`anthropic_beta: must be a list of at most ${MOST_BETAS} names.`, "anthropic_beta");
  return names.join(",");
}

class ChunkDecoder implements EventDecoder {
  readonly #emit: EmitEvent;
  readonly #provider: string | undefined;
  readonly #inner: EventDecoder;
  #failed = false;

  constructor(emit: EmitEvent, provider: string | undefined, inner: (emit: EmitEvent) => EventDecoder) {
    this.#emit = emit;
    this.#provider = provider;
    this.#inner = inner(emit);
  }

  frame(frame: WireFrame): void {
    if (this.#failed) return;
    if (!isException(frame.event)) return this.#inner.frame(frame);
    this.#failed = true;
    this.#emit({ type: "problem", problem: streamProblem(frame.event ?? "", parseJson(frame.data), this.#provider) });
  }

  end(): void {
    if (!this.#failed) this.#inner.end();
  }
}

class ChunkEncoder implements EventEncoder {
  readonly #emit: EmitFrame;
  readonly #inner: EventEncoder;

  constructor(emit: EmitFrame, inner: EventEncoder) {
    this.#emit = emit;
    this.#inner = inner;
  }

  event(event: Event): void {
    if (event.type !== "problem") return this.#inner.event(event);
    const { event: name, data } = problemFrame(event.problem, "");
    this.#emit(name, data);
  }

  goOnFrom(frames: number): void {
    this.#inner.goOnFrom?.(frames);
  }
}
