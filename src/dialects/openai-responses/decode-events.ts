import type {
  EmitEvent,
  EventDecoder,
  Item,
  Json,
  JsonObject,
  Origin,
  Part,
  Problem,
  RepeatableFrame,
  WireFrame,
} from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { decodeAnswerItem } from "./decode-items.ts";
import { errorIn, problemOfError } from "./problem.ts";
import { countIn, ID, isList, isObject, stringIn, without } from "./shape.ts";
import { stopOf } from "./stop.ts";
import { usageOf } from "./usage.ts";

type PartKind = "text" | "refusal" | "summary" | "input";

/** What was told of one part. */
interface Told {
  readonly kind: PartKind;
  /** Numbered as they begin: a reasoning item's summaries and texts are counted apart on the wire. */
  readonly part: number;
  text: string;
}

/** Members of a delta that nothing is read from. */
const IGNORED: readonly string[] = ["sequence_number", "obfuscation"];

interface OpenItem {
  /** The canonical index. */
  readonly index: number;
  readonly start: Item;
  ended: boolean;
  /** By kind and number on the wire. */
  readonly told: Map<string, Told>;
}

/** Turns the events of this language into canonical ones. Events may come without their `done`, items without their start. */
export class ResponsesDecoder implements EventDecoder {
  repeatable: RepeatableFrame | undefined;
  readonly #emit: EmitEvent;
  readonly #provider: string;
  #origin: Origin;
  #started = false;
  #ended = false;
  readonly #items = new Map<number, OpenItem>();
  #toolCall = false;
  #refusal = false;

  constructor(emit: EmitEvent, context: { readonly provider?: string }) {
    this.#emit = emit;
    this.#provider = context.provider ?? "";
    this.#origin = { dialect: ID, ...(context.provider !== undefined && { provider: context.provider }) };
  }

  frame(frame: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended || frame.data === "[DONE]" || frame.data === "") return;
    const data: Json | undefined = parseJson(frame.data);
    if (!isObject(data))
      return this.#fail({ kind: "upstream_broken", message: "The provider's stream holds an event that is not a JSON object." });
    const type = stringIn(data["type"]) || (frame.event ?? "");
    const handle = HANDLERS.get(type);
    if (handle) handle(this, data);
    else if (type === "" && isObject(data["error"])) this.failWith(data);
    else this.native(type, data);
  }

  end(): void {
    if (!this.#ended) this.#fail({ kind: "upstream_broken", message: "The provider's stream ended before its regular end." });
  }

  /** The opening, told once. */
  start(data: JsonObject): void {
    const response = isObject(data["response"]) ? data["response"] : {};
    if (this.#started) return;
    this.#started = true;
    const model = stringIn(response["model"]);
    if (model !== "") this.#origin = { ...this.#origin, model };
    const native = without(response, "output");
    this.#emit({ type: "start", id: stringIn(response["id"]), model, createdAt: countIn(response["created_at"]), native });
  }

  queued(data: JsonObject): void {
    if (this.#started) this.native("response.queued", data);
    else this.start(data);
  }

  native(type: string, data: JsonObject): void {
    const open = this.#items.get(placeOf(data));
    const raw = open && data["output_index"] !== open.index ? { ...data, output_index: open.index } : data;
    this.#emit({ type: "native", dialect: ID, ...(type !== "" && { event: type }), raw });
  }

  itemAdded(data: JsonObject): void {
    const place = placeOf(data);
    if (!this.#items.has(place)) this.#open(place, data["item"] ?? {});
  }

  itemDone(data: JsonObject): void {
    const place = placeOf(data);
    const raw = data["item"] ?? {};
    this.#close(this.#items.get(place) ?? this.#open(place, raw), raw);
  }

  text(data: JsonObject, kind: "text" | "refusal"): void {
    const open = this.#at(data, "message");
    const text = stringIn(data["delta"]);
    if (!open || text === "") return;
    const part = countIn(data["content_index"]);
    const told = toldAt(open, kind, part, part);
    if (kind === "refusal") this.#refusal = true;
    const { logprobs } = data;
    if (kind === "text" && isList(logprobs) && logprobs.length > 0) {
      told.text += text;
      return this.#emit({ type: "text", index: open.index, part, text, logprobs });
    }
    this.#tell(text, (more) => {
      told.text += more;
      this.#emit({ type: kind, index: open.index, part, text: more });
    });
  }

  /** Only of use when no delta came before. */
  textDone(data: JsonObject, kind: "text" | "refusal"): void {
    const open = this.#at(data, "message");
    if (open && !open.told.has(`${kind}${countIn(data["content_index"])}`)) this.text({ ...data, delta: data[kind] }, kind);
    this.repeatable = undefined;
  }

  annotation(data: JsonObject): void {
    const open = this.#at(data, "message");
    const { annotation } = data;
    if (open && annotation !== undefined)
      this.#emit({ type: "annotation", index: open.index, part: countIn(data["content_index"]), annotation });
  }

  reasoning(data: JsonObject, kind: "summary" | "text", field: "delta" | "text"): void {
    const open = this.#at(data, "reasoning");
    const text = stringIn(data[field]);
    if (!open || text === "") return;
    const place = countIn(data[kind === "summary" ? "summary_index" : "content_index"]);
    if (field === "text" && open.told.has(`${kind}${place}`)) return;
    const told = toldAt(open, kind, place, open.told.size);
    this.#tell(text, (more) => {
      told.text += more;
      this.#emit({ type: "reasoning", index: open.index, part: told.part, kind, text: more });
    });
    if (field !== "delta") this.repeatable = undefined;
  }

  input(data: JsonObject, field: "delta" | "arguments" | "input"): void {
    const open = this.#at(data, "tool_call");
    const text = stringIn(data[field]);
    if (!open || text === "" || (field !== "delta" && open.told.size > 0)) return;
    const told = toldAt(open, "input", 0, 0);
    this.#tell(text, (more) => {
      told.text += more;
      this.#emit({ type: "input", index: open.index, text: more });
    });
    if (field !== "delta") this.repeatable = undefined;
  }

  /** Tells a delta's only string, and how the next one can be told. A `done` that told what no delta had is not said twice. */
  #tell(text: string, tell: (text: string) => void): void {
    tell(text);
    this.repeatable = { text, ignored: IGNORED, tell };
  }

  finish(data: JsonObject): void {
    const response = isObject(data["response"]) ? data["response"] : {};
    this.start({ response });
    const output = isList(response["output"]) ? response["output"] : [];
    for (const [place, raw] of output.entries()) this.#complete(place, raw);
    for (const open of this.#items.values()) if (!open.ended) this.#close(open, undefined);
    const usage = usageOf(response);
    if (usage) this.#emit({ type: "usage", usage });
    this.#ended = true;
    const stop = stopOf(response, { toolCall: this.#toolCall, refusal: this.#refusal });
    this.#emit({ type: "done", stop, native: without(response, "output") });
  }

  /** A response that failed: what it used is still told. */
  failed(data: JsonObject): void {
    const response = isObject(data["response"]) ? data["response"] : {};
    const usage = usageOf(response);
    if (usage) this.#emit({ type: "usage", usage });
    this.failWith({ error: response["error"] ?? {} });
  }

  failWith(body: JsonObject): void {
    this.#fail(problemOfError(errorIn(body), { error: body["error"] ?? body }, this.#provider));
  }

  #fail(problem: Problem): void {
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }

  /** The terminal event repeats the items; what was not told before is told now. */
  #complete(place: number, raw: Json): void {
    const open = this.#items.get(place) ?? (this.#items.size <= place ? this.#open(place, raw) : undefined);
    if (open && !open.ended) this.#close(open, raw);
  }

  #open(place: number, raw: Json): OpenItem {
    if (!this.#started) this.start({});
    const start = emptied(decodeAnswerItem(raw, this.#origin));
    const open: OpenItem = { index: this.#items.size, start, ended: false, told: new Map() };
    this.#items.set(place, open);
    if (start.type === "tool_call") this.#toolCall = true;
    this.#emit({ type: "item_start", index: open.index, item: start });
    return open;
  }

  /** `raw` undefined: the language never told how the item ended, so it ends as it was told. */
  #close(open: OpenItem, raw: Json | undefined): void {
    if (open.ended) return;
    open.ended = true;
    const item = raw === undefined ? asTold(open) : decodeAnswerItem(raw, this.#origin);
    if (item.type === "message" && item.parts.some((part) => part.type === "refusal")) this.#refusal = true;
    this.#emit({ type: "item_end", index: open.index, item });
  }

  /** The item a delta belongs to. Servers that skip the opening event of a message or of reasoning are forgiven. */
  #at(data: JsonObject, type: Item["type"]): OpenItem | undefined {
    const place = placeOf(data);
    let open = this.#items.get(place);
    if (!open && type !== "tool_call") open = this.#open(place, { type, role: "assistant", id: data["item_id"] });
    return open && open.start.type === type && !open.ended ? open : undefined;
  }
}

function placeOf(data: JsonObject): number {
  return countIn(data["output_index"]);
}

function toldAt(open: OpenItem, kind: PartKind, place: number, part: number): Told {
  const key = `${kind}${place}`;
  let told = open.told.get(key);
  if (!told) open.told.set(key, (told = { kind, part, text: "" }));
  return told;
}

function asTold({ start, told }: OpenItem): Item {
  const parts = [...told.values()].toSorted((a, b) => a.part - b.part);
  if (start.type === "message")
    return { ...start, parts: parts.map(({ kind, text }): Part => ({ type: kind === "refusal" ? kind : "text", text })) };
  if (start.type === "reasoning")
    return { ...start, parts: parts.map(({ kind, text }) => ({ kind: kind === "summary" ? kind : "text", text })) };
  return start.type === "tool_call" ? { ...start, input: parts.map(({ text }) => text).join("") } : start;
}

/** What is known of an item when it starts. */
function emptied(item: Item): Item {
  if (item.type === "unknown") return item;
  const { raw: _raw, ...rest } = item;
  if (rest.type === "message") return { ...rest, parts: [] };
  if (rest.type === "tool_call") return { ...rest, input: "" };
  if (rest.type === "tool_result") return rest;
  const { encrypted: _encrypted, ...bare } = rest;
  return bare.type === "reasoning" ? { ...bare, parts: [] } : bare;
}

const QUIET = (): void => {};

/** By the events' types. Progress that the canonical form does not tell passes as `native`. */
const HANDLERS: ReadonlyMap<string, (decoder: ResponsesDecoder, data: JsonObject) => void> = new Map(
  Object.entries({
    "response.created": (decoder, data) => decoder.start(data),
    "response.in_progress": (decoder, data) => decoder.start(data),
    "response.queued": (decoder, data) => decoder.queued(data),
    "response.output_item.added": (decoder, data) => decoder.itemAdded(data),
    "response.output_item.done": (decoder, data) => decoder.itemDone(data),
    "response.content_part.added": QUIET,
    "response.content_part.done": QUIET,
    "response.output_text.delta": (decoder, data) => decoder.text(data, "text"),
    "response.output_text.done": (decoder, data) => decoder.textDone(data, "text"),
    "response.output_text.annotation.added": (decoder, data) => decoder.annotation(data),
    "response.refusal.delta": (decoder, data) => decoder.text(data, "refusal"),
    "response.refusal.done": (decoder, data) => decoder.textDone(data, "refusal"),
    "response.reasoning_summary_part.added": QUIET,
    "response.reasoning_summary_part.done": QUIET,
    "response.reasoning_summary_text.delta": (decoder, data) => decoder.reasoning(data, "summary", "delta"),
    "response.reasoning_summary_text.done": (decoder, data) => decoder.reasoning(data, "summary", "text"),
    "response.reasoning_text.delta": (decoder, data) => decoder.reasoning(data, "text", "delta"),
    "response.reasoning_text.done": (decoder, data) => decoder.reasoning(data, "text", "text"),
    "response.function_call_arguments.delta": (decoder, data) => decoder.input(data, "delta"),
    "response.function_call_arguments.done": (decoder, data) => decoder.input(data, "arguments"),
    "response.custom_tool_call_input.delta": (decoder, data) => decoder.input(data, "delta"),
    "response.custom_tool_call_input.done": (decoder, data) => decoder.input(data, "input"),
    "response.completed": (decoder, data) => decoder.finish(data),
    "response.incomplete": (decoder, data) => decoder.finish(data),
    "response.failed": (decoder, data) => decoder.failed(data),
    error: (decoder, data) => decoder.failWith(data),
  } satisfies Record<string, (decoder: ResponsesDecoder, data: JsonObject) => void>),
);
