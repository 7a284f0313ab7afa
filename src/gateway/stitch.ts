import {
  addUsage,
  ProblemError,
  textOf,
  type AnswerFold,
  type Call,
  type Event,
  type Item,
  type Problem,
  type Usage,
} from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import { ClientWriter, type EventWriter } from "./client-writer.ts";
import { Joint, type GoingOn } from "./joint.ts";
import { broken, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";
import type { Said } from "./said.ts";

/** A stream that broke and what is asked to go on with it. */
export interface Break {
  readonly said: Said;
  readonly how: GoingOn;
  /** What the attempts before this one used. */
  readonly used: Usage | undefined;
  /** The answer must be JSON. */
  readonly json: boolean;
  /** What asks for the rest. */
  readonly call: Call;
}

/** Where an item of the new answer goes; undefined: it is not told. */
interface Place {
  readonly index: number;
  /** Added to the numbers of its parts. */
  readonly part: number;
  /** Told to the client that it began? */
  begun: boolean;
  readonly item: Item;
  /** It goes on with an item of the broken answer. */
  readonly joined: boolean;
  dropped: boolean;
}

type ItemEvent = Extract<Event, { index: number }>;

/** Writes the answer of an attempt that goes on with a broken stream, so that its client sees one answer with one end. */
export class ContinuedWriter implements EventWriter {
  readonly #context: ReplyContext;
  readonly #writer: ClientWriter;
  #begun = false;
  readonly #break: Break;
  readonly #joint: Joint;
  /** By the new answer's own indices. */
  readonly #places = new Map<number, Place>();
  #next: number;
  /** The items of the broken answer that are not over yet. */
  readonly #open: Map<number, { readonly item: Item; readonly part: number }>;
  #id: string | undefined;
  #model: string | undefined;
  #usage: Usage | undefined;
  #characters = 0;

  constructor(context: ReplyContext, gap: Break) {
    this.#context = context;
    this.#writer = new ClientWriter(context, gap.said);
    this.#break = gap;
    this.#joint = new Joint(gap.said.text, gap.how);
    this.#next = gap.said.next;
    this.#open = new Map(gap.said.open);
  }

  get fold(): AnswerFold {
    return this.#writer.fold;
  }
  get state(): Reply["state"] {
    return this.#writer.state;
  }
  finish(): Problem | undefined {
    return this.#writer.finish();
  }

  /** Of this attempt alone. */
  report(): AnswerReport {
    const { stop } = this.#writer.fold;
    return { id: this.#id, model: this.#model, stop, ...(this.#usage && { usage: this.#usage }), outputCharacters: this.#characters };
  }

  event(event: Event): void {
    switch (event.type) {
      case "start":
        this.#id = event.id;
        this.#model = event.model;
        return;
      case "usage": {
        this.#usage = event.usage;
        const { used } = this.#break;
        return this.#writer.event({ type: "usage", usage: used ? addUsage(used, event.usage) : event.usage });
      }
      // Said of another stream than the client's.
      case "native":
        return;
      case "done":
        return this.#done(event);
      case "problem":
        return this.#writer.event(event);
      case "item_start":
        // Also when nothing of it is told yet: whoever says again what was said is at work.
        if (!this.#begun) this.#context.onOutput();
        this.#begun = true;
        this.#places.set(event.index, this.#placeOf(event.item));
        return;
      default:
        return this.#item(event);
    }
  }

  /** The regular end had come already but for its last frame. */
  complete(stop: Extract<Event, { type: "done" }>["stop"]): void {
    const { used } = this.#break;
    if (used) this.#writer.event({ type: "usage", usage: used });
    this.#done({ type: "done", stop });
  }

  #placeOf(item: Item): Place {
    const goesOn = this.#break.how !== "anew";
    if (item.type === "message") {
      for (const [index, open] of this.#open) {
        if (open.item.type !== "message" || this.#isTaken(index)) continue;
        return { index, part: open.part, begun: true, item: open.item, joined: true, dropped: false };
      }
    }
    // Who goes on with words thinks about how; the client has read the thoughts behind the answer, or there were none.
    const dropped = goesOn && item.type === "reasoning";
    return { index: dropped ? -1 : this.#next++, part: 0, begun: false, item, joined: false, dropped };
  }

  #isTaken(index: number): boolean {
    for (const place of this.#places.values()) if (place.index === index) return true;
    return false;
  }

  #item(event: Exclude<ItemEvent, { type: "item_start" }>): void {
    const place = this.#places.get(event.index);
    if (!place || place.dropped) return;
    switch (event.type) {
      case "text":
        return this.#text(place, event.part + place.part, this.#joint.push(event.text));
      case "refusal":
        if (this.#break.how !== "anew") throw new ProblemError(broken("The model declined to go on with its answer."));
        break;
      case "annotation":
        // Its places in the text are counted from where the new answer began.
        if (this.#break.how !== "anew") return;
        break;
      case "item_end":
        return this.#end(place, event.item);
      default:
        break;
    }
    this.#begin(place);
    if (event.type === "input" || event.type === "reasoning") this.#characters += event.text.length;
    const { index } = place;
    this.#writer.event("part" in event ? { ...event, index, part: event.part + place.part } : { ...event, index });
  }

  #text(place: Place, part: number, text: string): void {
    if (this.#joint.diverged) throw new ProblemError(broken("The model began its answer anew instead of going on with it."));
    if (text === "") return;
    this.#characters += text.length;
    this.#begin(place);
    this.#writer.event({ type: "text", index: place.index, part, text });
  }

  /** Whatever of the broken answer is still open is over when something else begins. */
  #begin(place: Place): void {
    if (place.begun) return;
    place.begun = true;
    this.#closeOpen();
    this.#writer.event({ type: "item_start", index: place.index, item: withoutEnvelope(place.item) });
  }

  #end(place: Place, item: Item): void {
    if (item.type === "message") {
      this.#text(place, place.part, this.#joint.end());
      // Nothing new was in it.
      if (!place.begun && textOf(item.parts) !== "") return;
    }
    if (place.joined) return this.#close(place.index, place.item);
    this.#begin(place);
    const told = item.type === "message" ? this.fold.item(place.index) : undefined;
    this.#writer.event({ type: "item_end", index: place.index, item: withoutEnvelope(told && this.#break.how !== "anew" ? told : item) });
  }

  #close(index: number, item: Item): void {
    if (!this.#open.delete(index)) return;
    this.#writer.event({ type: "item_end", index, item: this.fold.item(index) ?? item });
  }

  #closeOpen(): void {
    for (const [index, { item }] of this.#open) this.#close(index, item);
  }

  #done(event: Extract<Event, { type: "done" }>): void {
    const [first] = this.#places.values();
    const rest = this.#joint.end();
    if (first) this.#text(first, first.part, rest);
    this.#closeOpen();
    if (this.#break.json && !isJson(this.fold)) throw new ProblemError(broken("The continued answer is not the JSON it has to be."));
    // What the end says besides is of this attempt's answer, not of the whole.
    this.#writer.event({ type: "done", stop: event.stop });
  }
}

/** The container it was cut from is another answer's. */
function withoutEnvelope(item: Item): Item {
  const { envelope: _envelope, ...rest } = item;
  return rest;
}

function isJson(fold: AnswerFold): boolean {
  let text = "";
  for (const item of fold.items()) if (item.type === "message") text += textOf(item.parts);
  return parseJson(text) !== undefined;
}
