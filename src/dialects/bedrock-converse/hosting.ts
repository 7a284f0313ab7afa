import type { Clock, Headers, Json, Problem, UpstreamCall, UpstreamHandle, UpstreamSink } from "../../canon/index.ts";
import { eventMessages, isException } from "./framing.ts";
import { hostedVersion, invokePath, isChunkStream, openChunk } from "./invoke.ts";
import { decodeProblem, streamProblem } from "./problem.ts";
import { openJson, parseJson, replaceMembers } from "../../kit/index.ts";

/** Nesting of a body that this gateway wrote or read before. */
const JSON_DEPTH = 1000;
/** Longest message of a stream: what the specification allows of headers and payload, and what stands around them. */
const MESSAGE_BYTES = 131_072 + 25_165_824 + 16;
/** Of a refusal and of a count no more is read. */
const SMALL_BYTES = 65_536;
const SHOWN_CHARACTERS = 500;
const EVENTS_TYPE = "text/event-stream";
/** A count reads the whole request, which must name a cap. */
const LEAST_TOKENS = 1;

/**
 * Anthropic's messages, invoked: the model in the path, version and opt-ins in the body, events in base64 within binary messages. They come
 * out as the language has them, so that its clients' bytes pass. Source: `InvokeModel`, `InvokeModelWithResponseStream` and `CountTokens`
 * of the service's model `bedrock-runtime` 2023-09-30.
 */
export const invokedMessages = {
  asked(call: UpstreamCall): UpstreamCall {
    const { request, model, stream } = call;
    const { "anthropic-version": version, "anthropic-beta": betas = "", ...headers } = request.headers;
    const opened = openJson(Buffer.from(request.body), { depth: JSON_DEPTH });
    const said: Record<string, Json | undefined> = {
      model: undefined,
      stream: undefined,
      anthropic_version: hostedVersion(version),
      ...(betas !== "" && { anthropic_beta: betas.split(",") }),
    };
    const body = (more: Record<string, Json | undefined> = {}): string | Buffer =>
      opened.ok ? replaceMembers(opened.document, { ...said, ...more }) : request.body;
    if (call.operation === "count_tokens") {
      const counted = Buffer.from(body({ max_tokens: LEAST_TOKENS })).toString("base64");
      const path = `/model/${encodeURIComponent(model)}/count-tokens`;
      return { ...call, request: { ...request, path, headers, body: JSON.stringify({ input: { invokeModel: { body: counted } } }) } };
    }
    const accepts = stream ? { accepts: eventMessages.contentType } : {};
    return { ...call, ...accepts, request: { ...request, path: invokePath(model, stream), headers, body: body() } };
  },
  heard: (call: UpstreamCall, sink: UpstreamSink, provider: string, clock: Clock): InvokedSink =>
    new InvokedSink(call, sink, provider, clock),
};

class InvokedSink implements UpstreamSink {
  /** What is stopped once the answer is found to be over. */
  handle: UpstreamHandle | undefined;
  readonly #call: UpstreamCall;
  readonly #sink: UpstreamSink;
  readonly #provider: string;
  readonly #clock: Clock;
  readonly #cutter = eventMessages.cutter(MESSAGE_BYTES);
  #mode: "whole" | "stream" | "count" | "refused" = "whole";
  #status = 0;
  #headers: Headers = {};
  /** Of a small body. */
  #kept: Buffer[] = [];
  #bytes = 0;
  /** Events of the chunk at hand. */
  #events: Buffer[] = [];
  #over = false;

  constructor(call: UpstreamCall, sink: UpstreamSink, provider: string, clock: Clock) {
    this.#call = call;
    this.#sink = sink;
    this.#provider = provider;
    this.#clock = clock;
  }

  onHead(status: number, headers: Headers): void {
    this.#status = status;
    this.#headers = headers;
    const isGood = status >= 200 && status < 300;
    if (!isGood) this.#mode = "refused";
    else if (isChunkStream(headers["content-type"] ?? "")) this.#mode = "stream";
    else if (this.#call.operation === "count_tokens") this.#mode = "count";
    this.#sink.onHead(status, this.#mode === "stream" ? { ...headers, "content-type": EVENTS_TYPE } : headers);
  }

  onData(chunk: Buffer): boolean {
    if (this.#over) return true;
    if (this.#mode === "whole") return this.#sink.onData(chunk);
    if (this.#mode === "stream") return this.#stream(chunk);
    if (this.#bytes < SMALL_BYTES) this.#kept.push(chunk.subarray(0, SMALL_BYTES - this.#bytes));
    this.#bytes += chunk.length;
    return true;
  }

  onEnd(): void {
    if (this.#over) return;
    if (this.#mode === "refused") return this.#fail(this.#refusal());
    if (this.#mode === "count") {
      const body = parseJson(Buffer.concat(this.#kept).toString("utf8"));
      const tokens = typeof body === "object" && body !== null && "inputTokens" in body ? body.inputTokens : null;
      this.#sink.onData(Buffer.from(JSON.stringify({ input_tokens: tokens })));
    }
    this.#sink.onEnd();
  }

  onProblem(problem: Problem): void {
    if (this.#over) return;
    // Of a refusal enough is known, however it ended.
    if (this.#mode === "refused") return this.#fail(this.#refusal());
    this.#sink.onProblem(problem);
  }

  /** What came before a failure is told before it. */
  #stream(chunk: Buffer): boolean {
    let failed: Problem | undefined;
    const fits = this.#cutter.push(chunk, (frame) => {
      if (failed) return;
      const opened = openChunk(frame);
      if ("event" in opened) this.#events.push(eventOf(opened.event));
      else if (isException(opened.other?.event))
        failed = streamProblem(opened.other?.event ?? "", parseJson(opened.other?.data ?? ""), this.#provider);
      else if (opened.other?.event === undefined) failed = broken("The provider sent a message of its stream that is garbled.");
    });
    const events = this.#events;
    this.#events = [];
    const [only] = events;
    const more = only === undefined || this.#sink.onData(events.length === 1 ? only : Buffer.concat(events));
    if (!fits) failed ??= broken(`A message of the provider's stream is larger than ${MESSAGE_BYTES} bytes, or shorter than any can be.`);
    if (failed) this.#fail(failed);
    return failed !== undefined || more;
  }

  #refusal(): Problem {
    const said = Buffer.concat(this.#kept).toString("utf8");
    return decodeProblem({
      status: this.#status,
      headers: this.#headers,
      body: parseJson(said),
      text: said.slice(0, SHOWN_CHARACTERS),
      provider: this.#provider,
      now: this.#clock.now(),
    });
  }

  #fail(problem: Problem): void {
    this.#over = true;
    this.handle?.cancel();
    this.#sink.onProblem(problem);
  }
}

const TYPE = Buffer.from('{"type":"');
const QUOTE = 34;
const LINE_FEED = 10;

/** The event as a stream of the language's own has it: on one line, under its name. */
function eventOf(given: Buffer): Buffer {
  const data = given.includes(LINE_FEED) ? oneLine(given) : given;
  const name = nameOf(data);
  const head = `event: ${name}\ndata: `;
  const bytes = Buffer.allocUnsafe(head.length + data.length + 2);
  bytes.write(head, 0);
  bytes.set(data, head.length);
  bytes[bytes.length - 2] = LINE_FEED;
  bytes[bytes.length - 1] = LINE_FEED;
  return bytes;
}

function oneLine(data: Buffer): Buffer {
  const value = parseJson(data.toString("utf8"));
  return Buffer.from(value === undefined ? data.toString("utf8").replaceAll("\n", " ") : JSON.stringify(value));
}

/** An event's name; `message` for one that says none, as streams have it. */
function nameOf(data: Buffer): string {
  let name: unknown;
  if (data.subarray(0, TYPE.length).equals(TYPE))
    name = data.toString("latin1", TYPE.length, Math.max(data.indexOf(QUOTE, TYPE.length), TYPE.length));
  else {
    const value = parseJson(data.toString("utf8"));
    name = typeof value === "object" && value !== null && "type" in value ? value.type : undefined;
  }
  return typeof name === "string" && /^\w+$/.test(name) ? name : "message";
}

function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}
