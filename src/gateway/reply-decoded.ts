import {
  AnswerFold,
  ProblemError,
  unfold,
  type Answer,
  type Event,
  type EventDecoder,
  type EventEncoder,
  type JsonObject,
  type Problem,
} from "../canon/index.ts";
import { formatFrame, FrameFeed, FrameSplitter, parseJson } from "../kit/index.ts";
import { BodyCollector, broken, JSON_TYPE, STREAM_TYPE, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";

/** Writes canonical events to the client, in its language: as a stream of frames, or as one answer at the end. */
class ClientWriter {
  readonly #context: ReplyContext;
  readonly #encoder: EventEncoder | undefined;
  readonly fold: AnswerFold;
  #begun = false;
  #held: Event[] = [];
  #outputCharacters = 0;
  #problem: Problem | undefined;

  constructor(context: ReplyContext) {
    this.#context = context;
    this.fold = new AnswerFold({ dialect: context.upstream.id, provider: context.provider.id });
    if (context.wantsStream) {
      this.#encoder = context.client.encodeEvents(
        (event, data) => context.live.frame(Buffer.from(formatFrame(event, data))),
        context.answerContext(),
      );
    }
  }

  /** @throws ProblemError while nothing was said to the client, so that another target can be tried */
  event(event: Event): void {
    const passed = this.#guarded(event);
    this.fold.event(passed);
    if (passed.type === "text" || passed.type === "reasoning" || passed.type === "input" || passed.type === "refusal")
      this.#outputCharacters += passed.text.length;
    if (passed.type === "problem") {
      this.#problem = passed.problem;
      if (!this.#begun) throw new ProblemError(passed.problem);
      return;
    }
    if (!this.#encoder) return;
    const shown = passed.type === "item_end" ? { ...passed, item: this.#context.shown?.(passed.item) ?? passed.item } : passed;
    if (!this.#begun) {
      this.#held.push(shown);
      if (!isOutput(passed)) return;
      this.#begin();
      for (const held of this.#held) this.#encoder.event(held);
      this.#held = [];
      return;
    }
    this.#encoder.event(shown);
  }

  get state(): Reply["state"] {
    return this.fold.stop === undefined ? "open" : "done";
  }

  /** The upstream's answer is over; may be told twice. */
  finish(): Problem | undefined {
    const { live, client } = this.#context;
    if (this.#problem) return this.#problem;
    if (!this.fold.ended) return broken("The provider's stream ended before its regular end.");
    if (live.ended) return undefined;
    if (this.#encoder) {
      live.end();
      return undefined;
    }
    const context = this.#context.answerContext();
    const answer = this.fold.answer();
    const body = client.encodeAnswer({ ...answer, items: answer.items.map((item) => this.#context.shown?.(item) ?? item) }, context);
    live.answerId = context.id ?? this.fold.id;
    live.whole(200, { "content-type": JSON_TYPE, ...this.#context.headers() }, JSON.stringify(body));
    return undefined;
  }

  report(): AnswerReport {
    const { id, model, stop, usage, usageSeen } = this.fold;
    return { id, model, stop, ...(usageSeen && { usage }), outputCharacters: this.#outputCharacters };
  }

  #begin(): void {
    const context = this.#context;
    const { live } = context;
    context.onOutput();
    this.#begun = true;
    live.answerId = context.answerContext().id ?? this.fold.id;
    live.head(200, { "content-type": STREAM_TYPE, "cache-control": "no-cache", ...context.headers() });
  }

  #guarded(event: Event): Event {
    let passed = event;
    for (const guard of this.#context.guards) {
      const verdict = guard.event?.(passed, this.#context.canonicalCall());
      if (verdict?.verdict === "change") passed = verdict.value;
      if (verdict?.verdict === "deny") return { type: "problem", problem: verdict.problem };
    }
    return passed;
  }
}

/** From here on the client sees that somebody answers. */
function isOutput(event: Event): boolean {
  return event.type !== "start" && event.type !== "usage" && event.type !== "native";
}

/** A list of so many events is not kept for the next chunk. */
const MANY_EVENTS = 16;

/** The slow path of a stream: every frame is decoded, guarded, encoded. */
export class DecodedStream implements Reply {
  readonly #context: ReplyContext;
  readonly #splitter: FrameSplitter;
  readonly #decoder: EventDecoder;
  readonly #feed: FrameFeed;
  readonly #writer: ClientWriter;
  /** What the decoder emitted for the piece at hand; kept apart so that a throw never unwinds through the decoder. */
  readonly #events: Event[] = [];
  /** How many of them are of this piece: a list that is emptied would have to grow again with every chunk. */
  #emitted = 0;
  readonly #frame = (bytes: Uint8Array): void => this.#feed.frame(bytes);

  constructor(context: ReplyContext) {
    this.#context = context;
    this.#splitter = new FrameSplitter(context.limits.frameBytes);
    this.#decoder = context.upstream.decodeEvents((event) => (this.#events[this.#emitted++] = event), { provider: context.provider.id });
    this.#feed = new FrameFeed(this.#decoder);
    this.#writer = new ClientWriter(context);
  }

  get state(): Reply["state"] {
    return this.#writer.state;
  }

  data(chunk: Buffer): boolean {
    const fits = this.#splitter.push(chunk, this.#frame);
    this.#pass();
    // The client need not wait for the connection behind the last event to close.
    if (this.#writer.state === "done") this.#writer.finish();
    if (!fits) throw new ProblemError(broken(`An event of the stream is larger than ${this.#context.limits.frameBytes} bytes.`));
    return this.#context.live.flush();
  }

  end(): Problem | undefined {
    this.#feed.frame(this.#splitter.rest());
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
  readonly #writer: ClientWriter;
  #answer: Answer | undefined;
  #usageNamed = true;

  constructor(context: ReplyContext) {
    this.#context = context;
    this.#body = new BodyCollector(context.limits.answerBytes);
    this.#writer = new ClientWriter(context);
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
