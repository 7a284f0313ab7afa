import {
  ProblemError,
  unfold,
  type Answer,
  type Event,
  type EventDecoder,
  type FrameCutter,
  type JsonObject,
  type Problem,
} from "../canon/index.ts";
import { FrameFeed, parseJson } from "../kit/index.ts";
import { ClientWriter, type EventWriter } from "./client-writer.ts";
import { framingOf } from "./framing.ts";
import { BodyCollector, broken, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";
import { ContinuedWriter } from "./stitch.ts";

function writerOf(context: ReplyContext): EventWriter {
  return context.gap ? new ContinuedWriter(context, context.gap) : new ClientWriter(context);
}

/** A list of so many events is not kept for the next chunk. */
const MANY_EVENTS = 16;

/** The slow path of a stream: every frame is decoded, guarded, encoded. */
export class DecodedStream implements Reply {
  readonly #context: ReplyContext;
  readonly #cutter: FrameCutter;
  readonly #decoder: EventDecoder;
  readonly #feed: FrameFeed;
  readonly #writer: EventWriter;
  /** What the decoder emitted for the piece at hand; kept apart so that a throw never unwinds through the decoder. */
  readonly #events: Event[] = [];
  /** How many of them are of this piece: a list that is emptied would have to grow again with every chunk. */
  #emitted = 0;
  readonly #frame = (bytes: Uint8Array): void => this.#feed.frame(bytes);

  constructor(context: ReplyContext) {
    this.#context = context;
    const framing = framingOf(context.upstream);
    this.#cutter = framing.cutter(context.limits.frameBytes);
    this.#decoder = context.upstream.decodeEvents((event) => (this.#events[this.#emitted++] = event), { provider: context.provider.id });
    this.#feed = new FrameFeed(this.#decoder, framing.parse);
    this.#writer = writerOf(context);
  }

  get state(): Reply["state"] {
    return this.#writer.state;
  }

  data(chunk: Buffer): boolean {
    const fits = this.#cutter.push(chunk, this.#frame);
    this.#pass();
    // The client need not wait for the connection behind the last event to close.
    if (this.#writer.state === "done") this.#writer.finish();
    if (!fits) throw new ProblemError(broken(`An event of the stream is larger than ${this.#context.limits.frameBytes} bytes.`));
    return this.#context.live.flush();
  }

  end(): Problem | undefined {
    this.#feed.frame(this.#cutter.rest());
    this.#decoder.end();
    this.#pass();
    return this.#writer.finish();
  }

  report(): AnswerReport {
    return this.#writer.report();
  }

  answer(): Answer | undefined {
    return this.#writer.fold.answer();
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
