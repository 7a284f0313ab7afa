import {
  NO_USAGE,
  type AnswerContext,
  type EmitFrame,
  type EmitText,
  type Event,
  type EventEncoder,
  type Item,
  type Json,
  type JsonObject,
  type Usage,
} from "../../canon/index.ts";
import { TextFrame } from "../../kit/index.ts";
import { addItem, answerPart, companionsOf, foreignThought, showsThoughts } from "./answer.ts";
import { isOwn, PartList } from "./encode-parts.ts";
import { groundingOf } from "./grounding.ts";
import { decodeStop, encodeStop } from "./stop.ts";
import { encodeOwnUsage, encodeUsage } from "./usage.ts";
import { at, DIALECT, isList, isObject, without } from "./wire.ts";

/** Fields that every frame of an answer has. */
const COMMON: readonly string[] = ["modelVersion", "responseId", "createTime"];

/** Each piece becomes a whole response that holds nothing else; items that overlap need no order, because no frame names its item. */
export class ResponseEncoder implements EventEncoder {
  repeats: TextFrame | undefined;
  readonly #emit: EmitFrame;
  readonly #emitText: EmitText;
  readonly #context: AnswerContext;
  #common: JsonObject = {};
  #text = textFrame("{}", false);
  #thought = textFrame("{}", true);
  #usage: Usage = NO_USAGE;
  readonly #items = new Map<number, Item>();
  /** Parts of each item whose words were told. */
  readonly #told = new Map<number, Set<number>>();
  readonly #finished: Item[] = [];
  /** Signatures that wait for the call or text they prove. */
  #list = new PartList();
  #called = false;

  constructor(emit: EmitFrame, context: AnswerContext, emitText?: EmitText) {
    this.#emit = emit;
    this.#emitText = emitText ?? ((frame, words) => emit(frame.event, frame.data(words)));
    this.#context = context;
  }

  event(event: Event): void {
    this.repeats = undefined;
    switch (event.type) {
      case "text":
      case "refusal":
        this.#tell(event.index, event.part);
        return event.text === "" ? undefined : this.#words(this.#text, event.text);
      case "reasoning":
        return this.#reasoning(event);
      case "item_start":
        this.#items.set(event.index, event.item);
        this.#called ||= event.item.type === "tool_call";
        return;
      case "item_end":
        return this.#itemEnd(event.index, event.item);
      case "usage":
        this.#usage = event.usage;
        return;
      case "start":
        return this.#start(event);
      case "native":
        if (event.dialect === DIALECT && isObject(event.raw)) this.#emit(undefined, JSON.stringify({ ...event.raw, ...this.#common }));
        return;
      case "done":
        return this.#done(event);
      // A function's arguments go out whole, and what cites the text with the last frame.
      case "input":
      case "annotation":
        return;
      case "problem":
        // The gateway tells it, with the call's id, through `encodeProblemFrames`.
        return;
    }
  }

  #start(event: Extract<Event, { type: "start" }>): void {
    const own = event.native ?? {};
    const common: Record<string, Json | undefined> = { modelVersion: event.model };
    for (const name of COMMON) {
      const value = at(own, name);
      if (value !== undefined) common[name] = value;
    }
    common["responseId"] = this.#context.id ?? event.id;
    this.#common = common;
    const tail = JSON.stringify(common);
    this.#text = textFrame(tail, false);
    this.#thought = textFrame(tail, true);
  }

  #tell(index: number, part: number): void {
    const told = this.#told.get(index);
    if (told) told.add(part);
    else this.#told.set(index, new Set([part]));
  }

  #reasoning(event: Extract<Event, { type: "reasoning" }>): void {
    const item = this.#items.get(event.index);
    if (event.text === "" || !(showsThoughts(this.#context.call) || (item && isOwn(item)))) return;
    // Summaries in several parts are paragraphs of one thought here.
    const told = this.#told.get(event.index);
    const words = told && !told.has(event.part) ? `\n\n${event.text}` : event.text;
    this.#tell(event.index, event.part);
    if (words === event.text) this.#words(this.#thought, words);
    else this.#emitText(this.#thought, words);
  }

  #words(frame: TextFrame, text: string): void {
    this.#emitText(frame, text);
    this.repeats = frame;
  }

  /** What the finished item holds and no delta told. */
  #itemEnd(index: number, item: Item): void {
    const told = this.#told.get(index);
    this.#items.delete(index);
    this.#told.delete(index);
    this.#finished.push(item);
    const own = isOwn(item);
    if (item.type === "message") {
      this.#list.add(
        item.parts
          .filter((part, place) => !told?.has(place) && !(part.type === "text" && part.text === ""))
          .map((part) => answerPart(part, own))
          .filter((part) => part !== undefined),
      );
    } else if (item.type === "reasoning" && told) {
      // The words went out; of what proves them a part of their own is left.
      const proof = own ? item.signature : undefined;
      const [carried] = own || item.carried === undefined ? [] : foreignThought({ ...item, parts: [] }, this.#context.call);
      if (proof !== undefined) this.#list.add([{ text: "", thought: true, thoughtSignature: proof }]);
      if (carried) this.#list.add([carried]);
    } else addItem(item, this.#list, this.#context.call);
    this.#flush();
  }

  #flush(): void {
    const { parts } = this.#list;
    if (parts.length === 0) return;
    const content = { parts: [...parts], role: "model" };
    parts.length = 0;
    this.#emit(undefined, JSON.stringify({ candidates: [{ content, index: 0 }], ...this.#common }));
  }

  #done(event: Extract<Event, { type: "done" }>): void {
    for (const [index, item] of this.#items) if (item.type === "message" || item.type === "reasoning") this.#itemEnd(index, item);
    this.#list.end();
    this.#flush();
    const own = this.#ownCandidate(event);
    const grounding = own ? undefined : groundingOf(this.#finished);
    const native = event.native ?? {};
    const finishReason =
      own && decodeStop(at(own, "finishReason"), this.#called) === event.stop ? at(own, "finishReason") : encodeStop(event.stop);
    const candidate: JsonObject = {
      content: { parts: [{ text: "" }], role: "model" },
      finishReason,
      ...(own ? companionsOf(own) : { index: 0 }),
      ...(grounding && { groundingMetadata: grounding }),
    };
    const isMine = own !== undefined || this.#isMine(native);
    // A prompt that was refused has no candidate.
    const blocked = isMine && own === undefined && event.stop === "content_filter";
    this.#emit(
      undefined,
      JSON.stringify({
        ...(!blocked && { candidates: [candidate] }),
        ...(isMine && without(native, "candidates", "usageMetadata", "responseId")),
        usageMetadata: isMine ? encodeOwnUsage(at(native, "usageMetadata"), this.#usage) : encodeUsage(this.#usage),
        ...this.#common,
      }),
    );
  }

  #ownCandidate({ native }: Extract<Event, { type: "done" }>): JsonObject | undefined {
    if (!native || !this.#isMine(native)) return undefined;
    const { candidates } = native;
    const first = isList(candidates) ? candidates[0] : undefined;
    return isObject(first) ? first : undefined;
  }

  #isMine(native: JsonObject): boolean {
    return at(native, "usageMetadata") !== undefined || at(native, "promptFeedback") !== undefined || isList(native["candidates"]);
  }
}

function textFrame(common: string, thought: boolean): TextFrame {
  const rest = common === "{}" ? "}" : `,${common.slice(1)}`;
  return new TextFrame(
    undefined,
    '{"candidates":[{"content":{"parts":[{"text":',
    `${thought ? ',"thought":true' : ""}}],"role":"model"},"index":0}]${rest}`,
  );
}
