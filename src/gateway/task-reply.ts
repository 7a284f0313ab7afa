import { setImmediate } from "node:timers";
import {
  ProblemError,
  type Headers,
  type Json,
  type JsonObject,
  type Problem,
  type RawAnswer,
  type Task,
  type TaskAnswerContext,
  type TaskCodec,
  type TaskFrame,
  type TaskResult,
  type Usage,
} from "../canon/index.ts";
import { formatFrame, FrameSplitter, isLargeJson, jsonPieces, jsonTurns, mediaType, parseFrame, parseJson } from "../kit/index.ts";
import { BodyCollector, broken, JSON_TYPE, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";

/** What a reply must know of a task. */
export interface TaskReply {
  readonly task: Task;
  /** The provider's language and the client's. */
  readonly codec: TaskCodec;
  readonly clientCodec: TaskCodec;
  readonly model: string;
  answer(): TaskAnswerContext;
  /** The answer, where it need not be read from what came. */
  readonly sliced?: { readonly result: TaskResult | undefined } | undefined;
}

const NO_JSON = "The provider answered with something that is not JSON.";
/** Last bytes of an answer that are looked at for what it used. */
const TAIL_BYTES = 4096;
/** Larger ones are passed on while they come. */
const HELD_BYTES = 64 * 1024;

/** Larger answers are read a little in each turn of the event loop. */
const WHOLE_BYTES = 512 * 1024;
/** Letters of an answer that are written in one turn of the event loop: some milliseconds, of which other calls wait for none. */
const TURN_LETTERS = 128 * 1024;

/** Chooses how the answer to a task is read, by what was asked and what came. */
export function openTaskReply(context: ReplyContext, about: TaskReply, headers: Headers): Reply {
  const type = mediaType(headers["content-type"] ?? JSON_TYPE);
  if (type === "application/json" || type.endsWith("+json")) return new TaskWhole(context, about, headers);
  if (context.upstream.id !== context.client.id) {
    // Bytes mean nothing in another language: they are read first, where that can be done.
    if (!about.codec.decodeRaw) throw new ProblemError(broken(NO_JSON));
    return new TaskWhole(context, about, headers, true);
  }
  return type === "text/event-stream" ? new TaskEvents(context, about, headers) : new TaskBytes(context, about, headers);
}

/**
 * A whole answer, in JSON or as the provider's language reads its bytes: read and checked; JSON is sent on byte for byte where the language
 * is the client's own.
 */
class TaskWhole implements Reply {
  readonly #context: ReplyContext;
  readonly #about: TaskReply;
  readonly #headers: Headers;
  /** It is no JSON. */
  readonly #isRaw: boolean;
  readonly #body: BodyCollector;
  #opened: Problem | Read | undefined;
  #result: TaskResult | undefined;

  constructor(context: ReplyContext, about: TaskReply, headers: Headers, isRaw = false) {
    this.#context = context;
    this.#about = about;
    this.#headers = headers;
    this.#isRaw = isRaw;
    this.#body = new BodyCollector(context.limits.answerBytes);
  }

  get state(): Reply["state"] {
    return this.#result ? "done" : "open";
  }

  data(chunk: Buffer): boolean {
    if (this.#body.add(chunk)) return true;
    throw new ProblemError(broken(`The provider's answer is larger than ${this.#context.limits.answerBytes} bytes.`));
  }

  end(): Problem | undefined {
    const read = this.#read();
    if ("kind" in read) return read;
    if (read.frames) this.#stream(read.result, read.frames);
    else if (read.raw) this.#tell(read.result, Buffer.from(read.raw.bytes), read.raw.contentType);
    else this.#tell(read.result, read.bytes ?? JSON.stringify(read.answer));
    return undefined;
  }

  slowEnd(isOver: () => boolean): Promise<Problem | undefined> | undefined {
    if (this.#body.size > WHOLE_BYTES && !this.#about.sliced?.result && !this.#isRaw) return this.#readSlowly(isOver);
    return this.#writeSlowly(this.#read(), isOver);
  }

  async #readSlowly(isOver: () => boolean): Promise<Problem | undefined> {
    const json = await readInTurns(this.#body.bytes(), isOver);
    if (isOver()) return undefined;
    const read = (this.#opened = this.#open(json));
    return (await this.#writeSlowly(read, isOver)) ?? (this.#result || isOver() ? undefined : this.end());
  }

  #writeSlowly(read: Problem | Read, isOver: () => boolean): Promise<Problem | undefined> | undefined {
    if ("kind" in read || read.answer === undefined || !isLargeJson(read.answer)) return undefined;
    return writtenInTurns(read.answer, isOver).then((written) => {
      if (written) this.#tell(read.result, written);
      return undefined;
    });
  }

  #read(): Problem | Read {
    if (this.#isRaw) return (this.#opened ??= this.#openRaw());
    return (this.#opened ??= this.#open(this.#about.sliced?.result ? undefined : parseJson(this.#body.bytes().toString("utf8"))));
  }

  #open(json: Json | undefined): Problem | Read {
    const { upstream, provider, forward } = this.#context;
    const { task, codec } = this.#about;
    const ready = this.#about.sliced?.result;
    if (ready) return this.#encoded(ready);
    if (json === undefined) return broken(NO_JSON);
    const body = typeof json === "object" && json !== null && !Array.isArray(json) ? (json as JsonObject) : undefined;
    if (body && typeof body["error"] === "object" && body["error"] !== null)
      return upstream.decodeProblem({ status: 502, headers: {}, body, text: "", provider: provider.id });
    const result = codec.decodeResult(json, { task, provider: provider.id, headers: this.#headers });
    return forward ? { result, bytes: this.#body.bytes() } : this.#encoded(result);
  }

  #openRaw(): Problem | Read {
    const { task, codec } = this.#about;
    const result = codec.decodeRaw?.(this.#body.bytes(), { task, headers: this.#headers });
    return result ? this.#encoded(result) : broken(NO_JSON);
  }

  /** Sound that broke was made and is charged for all the same; what is no sound was not. */
  #spent(): Usage | undefined {
    const { task, codec } = this.#about;
    const { size } = this.#body;
    if (size === 0 || !mediaType(this.#headers["content-type"] ?? "").startsWith("audio/")) return undefined;
    return codec.readRaw?.({ task, headers: this.#headers, tail: this.#body.bytes().subarray(-TAIL_BYTES), size });
  }

  /** In the client's language: as a stream or as bytes where that is what it asked for. */
  #encoded(result: TaskResult): Read {
    const { clientCodec } = this.#about;
    const context = this.#about.answer();
    const frames = clientCodec.encodeFrames?.(result, context);
    if (frames) return { result, frames };
    const raw = clientCodec.encodeRaw?.(result, context);
    return raw ? { result, raw } : { result, answer: clientCodec.encodeResult(result, context) };
  }

  /** An answer that came in one piece, told as the stream that was asked for. */
  #stream(result: TaskResult, frames: readonly TaskFrame[]): void {
    const { live } = this.#context;
    this.#context.onOutput();
    this.#result = result;
    live.head(200, { "content-type": "text/event-stream", "cache-control": "no-cache", ...this.#context.headers() });
    for (const { event, json } of frames) live.frame(Buffer.from(formatFrame(event, JSON.stringify(json))));
    live.end();
  }

  #tell(result: TaskResult, written: Buffer | string, type = JSON_TYPE): void {
    const { live } = this.#context;
    const { clientCodec } = this.#about;
    this.#context.onOutput();
    this.#result = result;
    live.answerId = result.id;
    live.whole(200, { "content-type": type, ...clientCodec.answerHeaders?.(result), ...this.#context.headers() }, written);
  }

  report(): AnswerReport {
    const result = this.#result;
    if (result) return { id: result.id, model: result.model, stop: "end", usage: result.usage, outputCharacters: 0 };
    const usage = this.#isRaw ? this.#spent() : undefined;
    return usage ? { usage: { ...usage, estimated: true }, outputCharacters: 0 } : NOTHING;
  }
  answer(): undefined {
    return undefined;
  }
}

/** What came, and what the client gets: the bytes as they came, or its own language. */
interface Read {
  readonly result: TaskResult;
  /** One of these. */
  readonly bytes?: Buffer;
  readonly answer?: Json;
  readonly raw?: RawAnswer;
  readonly frames?: readonly TaskFrame[];
}

/** The text of an answer, written a little in each turn of the event loop. Undefined: nobody wants it any more. */
async function writtenInTurns(answer: Json, isOver: () => boolean): Promise<Buffer | undefined> {
  const whole: Buffer[] = [];
  let turn: string[] = [];
  let letters = 0;
  for (const piece of jsonPieces(answer)) {
    turn.push(piece);
    letters += piece.length;
    if (letters < TURN_LETTERS) continue;
    whole.push(Buffer.from(turn.join("")));
    turn = [];
    letters = 0;
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (isOver()) return undefined;
  }
  return Buffer.concat([...whole, Buffer.from(turn.join(""))]);
}

async function readInTurns(bytes: Uint8Array, isOver: () => boolean): Promise<Json | undefined> {
  const turns = jsonTurns(bytes);
  for (;;) {
    const turn = turns.next();
    if (turn.done) return turn.value;
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (isOver()) return undefined;
  }
}

const NOTHING: AnswerReport = { outputCharacters: 0 };

/** Sound or text: passed on while it comes. What fails before its first bytes can still be replaced unseen. */
class TaskBytes implements Reply {
  readonly plain = true;
  readonly #context: ReplyContext;
  readonly #about: TaskReply;
  readonly #headers: Headers;
  #held: Buffer[] = [];
  #size = 0;
  #tail: Buffer = Buffer.alloc(0);
  #usage: Usage | undefined;
  #over = false;

  constructor(context: ReplyContext, about: TaskReply, headers: Headers) {
    this.#context = context;
    this.#about = about;
    this.#headers = headers;
  }

  get state(): Reply["state"] {
    return this.#over ? "done" : "open";
  }

  data(chunk: Buffer): boolean {
    const { live, limits } = this.#context;
    this.#size += chunk.length;
    if (this.#size > limits.answerBytes)
      throw new ProblemError(broken(`The provider's answer is larger than ${limits.answerBytes} bytes.`));
    this.#tail = chunk.length >= TAIL_BYTES ? chunk.subarray(-TAIL_BYTES) : Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES);
    if (live.committed) {
      live.frame(chunk);
      return live.flush();
    }
    this.#held.push(chunk);
    if (this.#size <= HELD_BYTES) return true;
    this.#context.onOutput();
    live.head(200, { ...this.#type(), ...this.#context.headers() });
    for (const held of this.#held) live.frame(held);
    this.#held = [];
    return live.flush();
  }

  /** A short answer goes out in one piece. */
  end(): Problem | undefined {
    const { live } = this.#context;
    if (this.#size === 0) return broken("The provider's answer is empty.");
    this.#usage = this.#used();
    this.#over = true;
    if (live.committed) {
      live.end();
      return undefined;
    }
    this.#context.onOutput();
    live.whole(200, { ...this.#type(), ...this.#context.headers() }, Buffer.concat(this.#held));
    return undefined;
  }

  #type(): Record<string, string> {
    return { "content-type": this.#headers["content-type"] ?? "application/octet-stream" };
  }

  #used(): Usage | undefined {
    return this.#about.codec.readRaw?.({ task: this.#about.task, headers: this.#headers, tail: this.#tail, size: this.#size });
  }

  /** What broke was made and is charged for all the same. */
  report(): AnswerReport {
    if (this.#over) return { stop: "end", usage: this.#usage, outputCharacters: 0 };
    const usage = this.#size > 0 ? this.#used() : undefined;
    return usage ? { usage: { ...usage, estimated: true }, outputCharacters: 0 } : NOTHING;
  }
  answer(): undefined {
    return undefined;
  }
}

/** A stream of events: its frames pass as they are; the last of them says what was used. */
class TaskEvents implements Reply {
  readonly #context: ReplyContext;
  readonly #about: TaskReply;
  readonly #headers: Headers;
  readonly #splitter: FrameSplitter;
  #usage: Usage | undefined;
  #over = false;

  constructor(context: ReplyContext, about: TaskReply, headers: Headers) {
    this.#context = context;
    this.#about = about;
    this.#headers = headers;
    this.#splitter = new FrameSplitter(context.limits.frameBytes);
  }

  get state(): Reply["state"] {
    return this.#over ? "done" : "open";
  }

  data(chunk: Buffer): boolean {
    const { live, limits } = this.#context;
    const fits = this.#splitter.push(chunk, (frame) => this.#frame(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)));
    if (!fits) throw new ProblemError(broken(`An event of the stream is larger than ${limits.frameBytes} bytes.`));
    return live.flush();
  }

  end(): Problem | undefined {
    return this.#over ? undefined : broken("The provider's stream ended before its regular end.");
  }

  #frame(frame: Buffer): void {
    if (this.#over) return;
    const { live, upstream, provider } = this.#context;
    const parsed = parseFrame(frame);
    const json = parsed && parseJson(parsed.data);
    const body = typeof json === "object" && json !== null && !Array.isArray(json) ? (json as JsonObject) : undefined;
    if (parsed?.event === "error" || body?.["error"])
      throw new ProblemError(upstream.decodeProblem({ status: 502, headers: {}, body, text: "", provider: provider.id }));
    const said = body && this.#about.codec.readFrame?.(body);
    if (said?.usage) this.#usage = said.usage;
    if (!live.committed) {
      this.#context.onOutput();
      const type = this.#headers["content-type"] ?? "text/event-stream";
      live.head(200, { "content-type": type, "cache-control": "no-cache", ...this.#context.headers() });
    }
    live.frame(frame);
    if (!said?.done && parsed?.data !== "[DONE]") return;
    this.#over = true;
    live.end();
  }

  report(): AnswerReport {
    return { stop: this.#over ? "end" : undefined, usage: this.#usage, outputCharacters: 0 };
  }
  answer(): undefined {
    return undefined;
  }
}
