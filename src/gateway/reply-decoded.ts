import {
  ProblemError,
  unfold,
  type Answer,
  type Event,
  type EventDecoder,
  type FrameCutter,
  type JsonObject,
  type Problem,
  type TextFrame,
} from "../canon/index.ts";
import { FrameFeed, parseJson } from "../kit/index.ts";
import { allocated, ClientWriter, type EventWriter } from "./client-writer.ts";
import { framingOf } from "./framing.ts";
import type { LiveCall } from "./live.ts";
import { BodyCollector, broken, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";
import { ContinuedWriter } from "./stitch.ts";

function writerOf(context: ReplyContext): EventWriter {
  return context.gap ? new ContinuedWriter(context, context.gap) : new ClientWriter(context);
}

/** A list of so many events is not kept for the next chunk. */
const MANY_EVENTS = 16;
/** After so many relayed frames everybody else learns what was in them. */
const MOST_RELAYED = 64;

/**
 * The slow path of a stream: every frame is decoded, guarded, encoded. Most frames, though, only tell the next piece of a text. Once one has
 * gone all the way, those that differ from it in the text alone are relayed: the client's frame is made around the bytes of the JSON string,
 * which stands in both languages as it is, and decoder, fold and encoder learn of many such pieces in one.
 */
export class DecodedStream implements Reply {
  readonly #context: ReplyContext;
  readonly #live: LiveCall;
  readonly #cutter: FrameCutter;
  readonly #decoder: EventDecoder;
  readonly #feed: FrameFeed;
  readonly #writer: EventWriter;
  /** What the decoder emitted for the frame at hand; kept apart so that a throw never unwinds through the decoder. */
  readonly #events: Event[] = [];
  /** How many of them are of this frame: a list that is emptied would have to grow again with every chunk. */
  #emitted = 0;
  /** Bytes that the cutter keeps for want of a frame's end. */
  #uncut = 0;
  /** How the client was told the frame before, when the next may be relayed. */
  #relay: TextFrame | undefined;
  /** The client's frames that were relayed since the others were told, and the number of the first. */
  #relayed: Buffer[] = [];
  #firstRelayed = 0;
  readonly #frame = (bytes: Uint8Array): void => {
    this.#uncut -= bytes.length;
    if (!this.#isRelayed(bytes)) this.#read(bytes);
  };

  constructor(context: ReplyContext) {
    this.#context = context;
    this.#live = context.live;
    const framing = framingOf(context.upstream);
    this.#cutter = framing.cutter(context.limits.frameBytes);
    this.#decoder = context.upstream.decodeEvents((event) => (this.#events[this.#emitted++] = event), { provider: context.provider.id });
    this.#feed = new FrameFeed(this.#decoder, framing.parse, framing.payload);
    this.#writer = writerOf(context);
  }

  get state(): Reply["state"] {
    return this.#writer.state;
  }

  data(chunk: Buffer): boolean {
    // Most pieces of a stream are one frame that goes on as the one before did: then there is nothing to cut.
    if (this.#uncut === 0 && this.#isRelayed(chunk)) return this.#live.flush();
    this.#uncut += chunk.length;
    const fits = this.#cutter.push(chunk, this.#frame);
    // The client need not wait for the connection behind the last event to close.
    if (this.#writer.state === "done") this.#writer.finish();
    if (!fits) throw new ProblemError(broken(`An event of the stream is larger than ${this.#context.limits.frameBytes} bytes.`));
    return this.#live.flush();
  }

  end(): Problem | undefined {
    this.#read(this.#cutter.rest());
    this.#decoder.end();
    this.#pass();
    return this.#writer.finish();
  }

  report(): AnswerReport {
    this.#catchUp();
    return this.#writer.report();
  }

  answer(): Answer | undefined {
    this.#catchUp();
    return this.#writer.fold.answer();
  }

  #isRelayed(bytes: Uint8Array): boolean {
    const relay = this.#relay;
    if (!relay) return false;
    const live = this.#live;
    const frame = this.#feed.relayed(bytes, relay, allocated, live.last);
    if (!frame) return false;
    if (this.#relayed.length === 0) this.#firstRelayed = live.last;
    live.frame(frame);
    if (this.#relayed.push(frame) >= MOST_RELAYED) this.#catchUp();
    return true;
  }

  #read(bytes: Uint8Array): void {
    this.#catchUp();
    this.#feed.frame(bytes);
    const { told } = this.#feed;
    const [only] = this.#events;
    const isText = told !== "" && this.#emitted === 1 && only !== undefined && "text" in only && only.text === told;
    this.#pass();
    this.#relay = isText ? this.#writer.repeats : undefined;
  }

  /** Tells everybody else what was relayed. */
  #catchUp(): void {
    const frames = this.#relayed;
    if (frames.length === 0 || !this.#relay) return;
    this.#relayed = [];
    this.#feed.retell(this.#relay.textOf(frames, this.#firstRelayed));
    const emitted = this.#emitted;
    this.#emitted = 0;
    for (const event of this.#events.slice(0, emitted)) this.#writer.relayed?.(event);
  }

  #pass(): void {
    const emitted = this.#emitted;
    this.#emitted = 0;
    for (let at = 0; at < emitted; at++) {
      const event = this.#events[at];
      if (event) this.#writer.event(event);
    }
    if (this.#events.length > MANY_EVENTS) this.#events.length = 0;
  }
}

/** The slow path of a plain answer. */
export class DecodedWhole implements Reply {
  readonly #context: ReplyContext;
  readonly #body: BodyCollector;
  readonly #writer: EventWriter;
  #answer: Answer | undefined;
  #usageNamed = true;

  constructor(context: ReplyContext) {
    this.#context = context;
    this.#body = new BodyCollector(context.limits.answerBytes);
    this.#writer = writerOf(context);
  }

  get state(): Reply["state"] {
    return this.#writer.state;
  }

  data(chunk: Buffer): boolean {
    if (!this.#body.add(chunk))
      throw new ProblemError(broken(`The provider's answer is larger than ${this.#context.limits.answerBytes} bytes.`));
    return true;
  }

  end(): Problem | undefined {
    const { upstream, provider } = this.#context;
    const json = parseJson(this.#body.bytes().toString("utf8"));
    if (json === undefined) return broken("The provider answered with something that is not JSON.");
    this.#usageNamed =
      typeof json !== "object" || json === null || Array.isArray(json) || upstream.readAnswer(json as JsonObject).usage !== undefined;
    this.#answer = upstream.decodeAnswer(json, { provider: provider.id, operation: this.#context.canonicalCall().operation });
    for (const event of unfold(this.#answer)) this.#writer.event(event);
    return this.#writer.finish();
  }

  report(): AnswerReport {
    const { usage, ...report } = this.#writer.report();
    return { ...report, ...(usage && this.#usageNamed && { usage }) };
  }

  answer(): Answer | undefined {
    return this.#answer;
  }
}
