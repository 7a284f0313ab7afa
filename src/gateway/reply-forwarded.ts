import {
  AnswerFold,
  outputCharacters,
  ProblemError,
  type Answer,
  type EventDecoder,
  type FrameCutter,
  type FrameRole,
  type Framing,
  type JsonObject,
  type Problem,
} from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import { asBuffer, framingOf, streamHeaders } from "./framing.ts";
import { BodyCollector, broken, JSON_TYPE, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";

/** The fast path of a stream: frames are counted and sent on as they are; only those that can carry usage are looked into. */
export class ForwardedStream implements Reply {
  readonly #context: ReplyContext;
  readonly #framing: Framing;
  readonly #cutter: FrameCutter;
  readonly #meter;
  /** Frames before the first output: held, so that an upstream that fails now can still be replaced unseen. */
  #held: Buffer[] = [];
  #over = false;
  /** See `ReplyContext.continues`. */
  readonly #continues: boolean;
  #characters = 0;
  #called = false;
  #begun = false;
  /** Decodes beside the forwarding, for answers that are kept. */
  readonly #fold: { readonly fold: AnswerFold; readonly decoder: EventDecoder } | undefined;

  constructor(context: ReplyContext) {
    this.#context = context;
    this.#continues = context.continues === true;
    this.#framing = framingOf(context.upstream);
    this.#cutter = this.#framing.cutter(context.limits.frameBytes);
    this.#meter = context.upstream.usageFrames({ withholdUsage: context.withholdUsage });
    if (context.keep) {
      const fold = new AnswerFold({ dialect: context.upstream.id, provider: context.provider.id });
      this.#fold = { fold, decoder: context.upstream.decodeEvents((event) => fold.event(event), { provider: context.provider.id }) };
    }
  }

  get state(): Reply["state"] {
    return this.#over ? "done" : "open";
  }

  data(chunk: Buffer): boolean {
    const fits = this.#cutter.push(chunk, (frame) => this.#frame(asBuffer(frame)));
    if (!fits) throw new ProblemError(broken(`An event of the stream is larger than ${this.#context.limits.frameBytes} bytes.`));
    return this.#context.live.flush();
  }

  end(): Problem | undefined {
    // Some servers close right behind the last line, without what ends its frame.
    const last = this.#over ? undefined : this.#framing.parse(this.#cutter.rest());
    if (last && isWhole(last.data)) this.#frame(asBuffer(this.#framing.format(last.event, last.data)));
    this.#fold?.decoder.end();
    if (!this.#over && this.#meter.complete?.()) this.#complete();
    this.#context.live.flush();
    return this.#over ? undefined : broken("The provider's stream ended before its regular end.");
  }

  report(): AnswerReport {
    const meter = this.#meter;
    // The end of an answer whose calls were held and never told is no end.
    const stop = this.#called && !this.#over ? undefined : meter.stop();
    return { id: meter.id(), model: meter.model(), stop, usage: meter.usage(), outputCharacters: meter.outputCharacters() };
  }

  answer(): Answer | undefined {
    return this.#fold?.fold.answer();
  }

  #frame(given: Buffer): void {
    const { live } = this.#context;
    const role = this.#meter.frame(given);
    if (this.#fold) {
      const parsed = this.#framing.parse(given);
      if (parsed) this.#fold.decoder.frame(parsed);
    }
    if (role === "withhold") return;
    // Told to the client in the gateway's words, the same on both paths; what follows an error is of no use.
    if (role === "problem") throw new ProblemError(this.#meter.problem() ?? broken("The provider reported an error inside its stream."));
    const frame = this.#meter.shown?.(given) ?? given;
    if (this.#continues) {
      this.#held.push(frame);
      if (!this.#mayTell(role)) return;
      if (!live.committed) this.#begin();
      else this.#tellHeld();
    } else {
      if (!live.committed) {
        if (role === "quiet") {
          this.#held.push(frame);
          return;
        }
        this.#begin();
      }
      live.frame(frame);
    }
    // The client need not wait for the connection behind it to close.
    if (role === "done") this.#complete();
  }

  /** Nothing is left to be told; in some languages only the end of the connection says so. */
  #complete(): void {
    const { live } = this.#context;
    this.#over = true;
    if (!live.committed) this.#begin();
    else this.#tellHeld();
    live.end();
  }

  #begin(): void {
    const context = this.#context;
    const { live } = context;
    context.onOutput();
    live.answerId = this.#meter.id();
    live.head(200, { ...streamHeaders(context.client), ...context.headers() });
    this.#tellHeld();
  }

  #tellHeld(): void {
    if (this.#held.length === 0) return;
    for (const frame of this.#held) this.#context.live.frame(frame);
    this.#held = [];
  }

  #mayTell(role: FrameRole): boolean {
    if (role === "done") return true;
    if (role === "output" && !this.#begun) {
      this.#begun = true;
      this.#context.onOutput();
    }
    const before = this.#characters;
    this.#characters = this.#meter.outputCharacters();
    this.#called ||= this.#meter.called();
    return !this.#called && this.#characters > before;
  }
}

/** Lacks this last piece of a stream only its end? What was cut within its data is no frame, whatever its name promises. */
function isWhole(data: string): boolean {
  // `[DONE]` and its like are no JSON, but as easily told whole from cut.
  return parseJson(data) !== undefined || (data.startsWith("[") && data.endsWith("]"));
}

/** The fast path of a plain answer: read once for its usage, sent on byte for byte. */
export class ForwardedWhole implements Reply {
  readonly #context: ReplyContext;
  readonly #body: BodyCollector;
  #report: AnswerReport = { outputCharacters: 0 };
  #json: JsonObject | undefined;

  get state(): Reply["state"] {
    return this.#json ? "done" : "open";
  }

  constructor(context: ReplyContext) {
    this.#context = context;
    this.#body = new BodyCollector(context.limits.answerBytes);
  }

  data(chunk: Buffer): boolean {
    if (!this.#body.add(chunk))
      throw new ProblemError(broken(`The provider's answer is larger than ${this.#context.limits.answerBytes} bytes.`));
    return true;
  }

  end(): Problem | undefined {
    const { live, upstream, provider } = this.#context;
    const bytes = this.#body.bytes();
    const json = parseJson(bytes.toString("utf8"));
    if (typeof json !== "object" || json === null || Array.isArray(json))
      return broken("The provider answered with something that is not a JSON object.");
    const body = json as JsonObject;
    const { usage, id, model, stop, problem } = upstream.readAnswer(body);
    if (problem) return problem;
    if (id === undefined && typeof body["error"] === "object" && body["error"] !== null) {
      return upstream.decodeProblem({ status: 502, headers: {}, body, text: "", provider: provider.id });
    }
    this.#context.onOutput();
    this.#json = body;
    this.#report = { id, model, stop, usage, outputCharacters: usage ? 0 : this.#outputCharacters() };
    live.answerId = id;
    const headers = this.#context.headers();
    headers["content-type"] = JSON_TYPE;
    live.whole(200, headers, bytes);
    return undefined;
  }

  report(): AnswerReport {
    return this.#report;
  }

  /** An answer without usage is rare enough to be read once more for its length. */
  #outputCharacters(): number {
    try {
      const answer = this.answer();
      return answer ? outputCharacters(answer) : 0;
    } catch {
      // It is sent on as it is; a language that cannot read it cannot tell its length either.
      return 0;
    }
  }

  answer(): Answer | undefined {
    const { upstream, provider } = this.#context;
    return this.#json && upstream.decodeAnswer(this.#json, { provider: provider.id, operation: this.#context.canonicalCall().operation });
  }
}
