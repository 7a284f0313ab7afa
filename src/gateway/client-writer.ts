import { AnswerFold, ProblemError, type Event, type EventEncoder, type Problem, type TextFrame } from "../canon/index.ts";
import { frameWriter, streamHeaders } from "./framing.ts";
import { broken, JSON_TYPE, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";
import type { Said } from "./said.ts";

/** Where the events of an answer go. */
export interface EventWriter {
  readonly fold: AnswerFold;
  readonly state: Reply["state"];
  /** @throws ProblemError when the answer cannot go on */
  event(event: Event): void;
  /** How the last event was told, when another that differs in its text alone can be told by a copy of that frame. */
  readonly repeats?: TextFrame | undefined;
  /** Learns of what was told by such copies. */
  relayed?(event: Event): void;
  /** The upstream's answer is over; may be told twice. */
  finish(): Problem | undefined;
  report(): AnswerReport;
}

/** Writes canonical events to the client, in its language: as a stream of frames, or as one answer at the end. */
export class ClientWriter implements EventWriter {
  readonly #context: ReplyContext;
  readonly #encoder: EventEncoder | undefined;
  readonly fold: AnswerFold;
  #begun = false;
  #held: Event[] = [];
  #outputCharacters = 0;
  #problem: Problem | undefined;
  /** See `ReplyContext.continues`. */
  readonly #continues: boolean;
  /** A tool call, or something else that is no words, began: from here on nothing is told before the end. */
  #called = false;
  #noticed = false;
  /** Do frames go to the client, or is this only to bring the encoder to where the client is? */
  #telling: boolean;
  /** Does anybody look at each event? */
  readonly #watched: boolean;
  /** Of the frame that told a text last, in languages that number them. */
  #number: number | undefined;

  /** `said`: what the client was told already of this answer. */
  constructor(context: ReplyContext, said?: Said) {
    this.#context = context;
    this.#continues = context.continues === true;
    const origin = said ? { dialect: context.client.id } : { dialect: context.upstream.id, provider: context.provider.id };
    this.fold = new AnswerFold(origin);
    this.#telling = said === undefined;
    this.#watched = context.guards.some((guard) => guard.event !== undefined);
    if (context.wantsStream) {
      const written = frameWriter(context.client);
      this.#encoder = context.client.encodeEvents(
        (event, data) => {
          if (this.#telling) context.live.frame(written(event, data));
        },
        context.answerContext(),
        (frame, text, number) => {
          if (!this.#telling) return;
          this.#number = number;
          const bytes = frame.bytes(text, allocated, number);
          context.live.frame(bytes ?? written(frame.event, frame.data(text, number)));
        },
      );
    }
    if (!said) return;
    this.#begun = true;
    for (const event of said.events) {
      this.fold.event(event);
      this.#encoder?.event(event);
    }
    this.#telling = true;
    this.#encoder?.goOnFrom?.(context.live.last);
  }

  event(event: Event): void {
    const passed = this.#guarded(event.type === "start" ? named(event, this.#context) : event);
    this.fold.event(passed);
    if (passed.type === "text" || passed.type === "reasoning" || passed.type === "input" || passed.type === "refusal")
      this.#outputCharacters += passed.text.length;
    else if (passed.type === "native") this.#outputCharacters += passed.characters ?? 0;
    if (passed.type === "problem") {
      this.#problem = passed.problem;
      throw new ProblemError(passed.problem);
    }
    if (!this.#encoder) return;
    const shown = passed.type === "item_end" ? { ...passed, item: this.#context.shown?.(passed.item) ?? passed.item } : passed;
    if (this.#begun && !this.#continues) return this.#encoder.event(shown);
    this.#held.push(shown);
    if (this.#continues && !this.#noticed && isOutput(passed)) {
      this.#noticed = true;
      this.#context.onOutput();
    }
    if (!(this.#continues ? this.#mayTell(passed) : isOutput(passed))) return;
    if (!this.#begun) this.#begin();
    const held = this.#held;
    this.#held = [];
    for (const one of held) this.#encoder.event(one);
  }

  get repeats(): TextFrame | undefined {
    const { live } = this.#context;
    if (this.#watched || !this.#begun || this.#held.length > 0) return undefined;
    // The frames are numbered as they are counted here, or not at all.
    return this.#number === undefined || this.#number === live.last - 1 ? this.#encoder?.repeats : undefined;
  }

  relayed(event: Event): void {
    this.#telling = false;
    this.event(event);
    this.#telling = true;
    this.#encoder?.goOnFrom?.(this.#context.live.last);
  }

  get state(): Reply["state"] {
    return this.fold.stop === undefined ? "open" : "done";
  }

  finish(): Problem | undefined {
    const { live, client } = this.#context;
    if (this.#problem) return this.#problem;
    if (!this.fold.ended) return broken("The provider's stream ended before its regular end.");
    if (live.ended) return undefined;
    if (this.#encoder) {
      live.end();
      return undefined;
    }
    this.#context.onOutput();
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
    live.head(200, { ...streamHeaders(context.client), ...context.headers() });
  }

  /** Of a stream that may be continued everything is held until the next words: so it only ever stops right behind some. */
  #mayTell(event: Event): boolean {
    if (event.type === "done") return true;
    if (event.type === "item_start" && event.item.type !== "message" && event.item.type !== "reasoning") this.#called = true;
    return !this.#called && (event.type === "text" || event.type === "reasoning" || event.type === "refusal") && event.text !== "";
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

/** Memory that is filled at once. */
export function allocated(length: number): Buffer {
  return Buffer.allocUnsafe(length);
}

/** From here on the client sees that somebody answers. */
function isOutput(event: Event): boolean {
  return event.type !== "start" && event.type !== "usage" && event.type !== "native";
}

/** An answer whose language gives it no id or names no model bears those of the call and its target in a client's language that has such. */
function named(start: Event & { type: "start" }, { live, client, upstream, target }: ReplyContext): Event {
  if (client.id === upstream.id || (start.id !== "" && start.model !== "")) return start;
  const unique = live.id.replace(/^[a-z]+_/, "");
  return { ...start, id: start.id || (client.newAnswerId?.(unique) ?? unique), model: start.model || (target?.model ?? "") };
}
