import {
  NO_USAGE,
  ProblemError,
  type EmitEvent,
  type EventDecoder,
  type Item,
  type Json,
  type JsonObject,
  type Origin,
  type Part,
  type Problem,
  type RepeatableFrame,
  type WireFrame,
} from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { callIds, createdAt, isBlocked, originOf } from "./answer.ts";
import { decodeItem, decodeText, type CallIds } from "./decode-parts.ts";
import { citationsOf } from "./grounding.ts";
import { decodeMedia } from "./media.ts";
import { PartialArgs } from "./partial-args.ts";
import { broken, problemOfErrorBody } from "./problem.ts";
import { decodeStop } from "./stop.ts";
import { brokenUsage, decodeUsage, mergeUsage } from "./usage.ts";
import { at, DIALECT, isList, isObject, textAt, without } from "./wire.ts";

/** Counters that grow with every frame; the last frame, which is never a mere repetition, has the final ones. */
export const COUNTERS: readonly string[] = ["candidatesTokenCount", "totalTokenCount", "tokenCount"];

/** What a call without arguments has in canonical form. */
const NO_ARGS = "{}";

const TOP = new Set(["candidates", "usageMetadata", "modelVersion", "responseId", "createTime"]);
const CANDIDATE = new Set(["content", "index"]);

/** The words of a frame that does nothing but tell some; undefined for any other. */
export function wordsAlone(data: JsonObject): { readonly text: string; readonly thought: boolean } | undefined {
  const { candidates } = data;
  for (const key in data) if (!TOP.has(key)) return undefined;
  const candidate = isList(candidates) && candidates.length === 1 ? candidates[0] : undefined;
  if (!isObject(candidate) || (candidate["index"] ?? 0) !== 0) return undefined;
  for (const key in candidate) if (!CANDIDATE.has(key)) return undefined;
  const { content } = candidate;
  const parts = isObject(content) ? content["parts"] : undefined;
  const part = isList(parts) && parts.length === 1 ? parts[0] : undefined;
  if (!isObject(part)) return undefined;
  for (const key in part) if (key !== "text" && key !== "thought") return undefined;
  const { text } = part;
  return typeof text === "string" && text !== "" ? { text, thought: part["thought"] === true } : undefined;
}

/** The item whose parts come: neighbouring texts are one part, whichever frames bring them. */
interface Open {
  readonly type: "message" | "reasoning";
  readonly index: number;
  readonly parts: Part[];
  text: string;
  /** Number of the part that `text` is; -1 before the first. */
  part: number;
}

/**
 * Reads a stream of whole responses, each with the parts that are new. Nothing in it says that it is over but its last finish reason, and
 * that may come early, so the end of the connection behind one is the end.
 */
export class ResponseDecoder implements EventDecoder {
  repeatable: RepeatableFrame | undefined;
  readonly #emit: EmitEvent;
  readonly #provider: string | undefined;
  #origin: Origin = { dialect: DIALECT };
  #ids: CallIds = callIds("");
  #native: JsonObject | undefined;
  /** What the first candidate's frames told besides its parts. */
  #candidate: JsonObject = {};
  #usage: JsonObject | undefined;
  #lettersSince = 0;
  #blocked = false;
  #ended = false;
  #called = false;
  #nextIndex = 0;
  #open: Open | undefined;
  /** Signature of the open message: told once it is closed. */
  #signature: string | undefined;
  #growing: { readonly part: JsonObject; readonly args: PartialArgs } | undefined;
  /** Text of the first message, which citations count in. */
  #said = "";

  constructor(emit: EmitEvent, provider: string | undefined) {
    this.#emit = emit;
    this.#provider = provider;
  }

  frame(frame: WireFrame): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    const data = parseJson(frame.data);
    if (!isObject(data)) return this.#fail(broken("The provider sent a frame that is no JSON object.", this.#provider));
    try {
      this.#response(data);
    } catch (error) {
      const why = error instanceof ProblemError ? `: ${error.problem.message}` : ".";
      this.#fail(broken(`The provider's stream is garbled${why}`, this.#provider));
    }
  }

  end(): void {
    this.repeatable = undefined;
    if (this.#ended) return;
    const reason = at(this.#candidate, "finishReason");
    if (reason === undefined && !this.#blocked)
      return this.#fail(broken("The provider's stream ended before it was complete.", this.#provider));
    this.#finish(reason);
  }

  #fail(problem: Problem): void {
    if (this.#native && this.#lettersSince > 0) {
      const known = this.#usage ? decodeUsage(this.#usage) : NO_USAGE;
      this.#emit({ type: "usage", usage: brokenUsage(known, this.#lettersSince) });
    }
    this.#ended = true;
    this.#emit({ type: "problem", problem });
  }

  #response(data: JsonObject): void {
    if (data["error"] !== undefined && data["error"] !== null) return this.#fail(problemOfErrorBody(data, this.#provider ?? ""));
    this.#start(data);
    const { candidates } = data;
    if (isList(candidates)) {
      for (const [place, candidate] of candidates.entries()) {
        if (!isObject(candidate)) throw new ProblemError(broken("a candidate is no object"));
        if ((candidate["index"] ?? place) === 0) this.#first(candidate);
        else this.#other(candidate);
      }
    }
    const usage = at(data, "usageMetadata");
    if (isObject(usage)) {
      this.#usage = mergeUsage(this.#usage ?? {}, usage);
      this.#lettersSince = 0;
      this.#emit({ type: "usage", usage: decodeUsage(this.#usage) });
    }
    const words = wordsAlone(data);
    if (words && this.#open)
      this.repeatable = { text: words.text, ignored: COUNTERS, tell: this.#open.type === "message" ? this.#tell : this.#think };
  }

  #start(data: JsonObject): void {
    const fields = without(data, "candidates", "usageMetadata");
    this.#blocked ||= isBlocked(data);
    if (this.#native) {
      // Later frames may add to what the first told (a prompt's feedback).
      for (const key in fields) if (!TOP.has(key)) this.#native = { ...this.#native, ...fields };
      return;
    }
    const [id, model] = [textAt(data, "responseId"), textAt(data, "modelVersion")];
    this.#native = fields;
    this.#origin = originOf(this.#provider, model);
    this.#ids = callIds(id);
    this.#emit({ type: "start", id, model, createdAt: createdAt(data), native: fields });
  }

  /** Another answer beside the first: only its own language has several at once. */
  #other(candidate: JsonObject): void {
    const characters = JSON.stringify(candidate["content"] ?? "").length;
    this.#emit({ type: "native", dialect: DIALECT, raw: { candidates: [candidate] }, characters });
  }

  #first(candidate: JsonObject): void {
    const { content } = candidate;
    this.#candidate = {
      ...this.#candidate,
      ...without(candidate, "content"),
      ...(isObject(content) && { content: without(content, "parts") }),
    };
    const parts = isObject(content) ? content["parts"] : undefined;
    if (isList(parts)) for (const part of parts) this.#part(part);
  }

  #part(part: Json): void {
    if (!isObject(part)) throw new ProblemError(broken("a part is no object"));
    const text = part["text"];
    if (part["thought"] !== true && typeof text === "string") return this.#text(part, text);
    if (part["thought"] === true && typeof text === "string" && text !== "" && at(part, "thoughtSignature") === undefined) {
      this.#begin("reasoning");
      return this.#think(text);
    }
    if (part["thought"] !== true && (at(part, "inlineData") !== undefined || at(part, "fileData") !== undefined)) return this.#media(part);
    const call = at(part, "functionCall");
    if (isObject(call) && (this.#growing || at(call, "willContinue") === true || at(call, "partialArgs") !== undefined))
      return this.#grow(part, call);
    this.#close();
    for (const item of decodeItem(part, { role: "assistant", origin: this.#origin, ids: this.#ids, apart: true }, "part"))
      this.#whole(item);
  }

  /** An empty text without more only closes a turn. */
  #text(part: JsonObject, text: string): void {
    const signature = at(part, "thoughtSignature");
    if (typeof signature === "string" && signature !== "") this.#signature = signature;
    if (text === "") {
      if (this.#open?.type !== "message" && this.#signature !== undefined) this.#close();
      return;
    }
    this.#begin("message");
    const more = without(part, "text", "thoughtSignature");
    if (Object.keys(more).length > 0 && this.#open) {
      // A text with companions is a part of its own.
      this.#endPart(this.#open);
      this.#open.part++;
      this.#open.parts[this.#open.part] = decodeText({ ...more, text });
      this.#emit({ type: "text", index: this.#open.index, part: this.#open.part, text });
      this.#said += text;
      this.#lettersSince += text.length;
      this.#open.part++;
      return;
    }
    this.#tell(text);
  }

  #begin(type: Open["type"]): void {
    if (this.#open?.type === type) return;
    this.#close();
    const index = this.#nextIndex++;
    this.#open = { type, index, parts: [], text: "", part: -1 };
    const item: Item =
      type === "message" ? { type, role: "assistant", parts: [], origin: this.#origin } : { type, parts: [], origin: this.#origin };
    this.#emit({ type: "item_start", index, item });
  }

  readonly #tell = (text: string): void => {
    const open = this.#open;
    if (!open) return;
    if (open.part < 0) open.part = 0;
    open.text += text;
    this.#said += text;
    this.#lettersSince += text.length;
    this.#emit({ type: "text", index: open.index, part: open.part, text });
  };

  readonly #think = (text: string): void => {
    const open = this.#open;
    if (!open) return;
    open.text += text;
    this.#lettersSince += text.length;
    this.#emit({ type: "reasoning", index: open.index, part: 0, kind: "summary", text });
  };

  #media(part: JsonObject): void {
    this.#begin("message");
    const open = this.#open;
    if (!open) return;
    this.#endPart(open);
    open.part++;
    open.parts[open.part] = decodeMedia(part, part, "part");
    open.part++;
  }

  /** The words so far are a part. */
  #endPart(open: Open): void {
    if (open.text === "") {
      // Between two parts the number stands already on the next.
      if (open.part >= 0) open.part--;
      return;
    }
    open.parts[open.part] = { type: "text", text: open.text };
    open.text = "";
  }

  #grow(part: JsonObject, call: JsonObject): void {
    const growing = (this.#growing ??= { part, args: new PartialArgs() });
    const pieces = at(call, "partialArgs");
    if (isList(pieces)) for (const piece of pieces) growing.args.add(piece);
    if (at(call, "willContinue") === true) return;
    this.#growing = undefined;
    this.#close();
    const first = at(growing.part, "functionCall");
    const { partialArgs: _pieces, willContinue: _more, ...named } = isObject(first) ? first : {};
    const whole = { ...growing.part, functionCall: { ...named, args: growing.args.value() } };
    for (const item of decodeItem(whole, { role: "assistant", origin: this.#origin, ids: this.#ids, apart: true }, "part"))
      this.#whole(item);
  }

  #whole(item: Item): void {
    const index = this.#nextIndex++;
    if (item.type === "tool_call") {
      this.#called = true;
      const { raw: _raw, ...bare } = item;
      this.#emit({ type: "item_start", index, item: { ...bare, input: "" } });
      if (item.input !== NO_ARGS) this.#lettersSince += item.input.length;
      this.#emit({ type: "input", index, text: item.input });
    } else if (item.type === "reasoning") {
      const { raw: _raw, signature: _signature, ...bare } = item;
      this.#emit({ type: "item_start", index, item: { ...bare, parts: [] } });
      for (const [part, { kind, text }] of item.parts.entries()) this.#emit({ type: "reasoning", index, part, kind, text });
    } else this.#emit({ type: "item_start", index, item });
    this.#emit({ type: "item_end", index, item });
  }

  #close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open?.type === "message") this.#closeMessage(open);
    else if (open)
      this.#emit({
        type: "item_end",
        index: open.index,
        item: { type: "reasoning", parts: [{ kind: "summary", text: open.text }], origin: this.#origin },
      });
    const signature = this.#signature;
    this.#signature = undefined;
    // As the API sends it itself when the words are over.
    if (signature !== undefined)
      this.#whole({ type: "reasoning", parts: [], signature, origin: this.#origin, raw: { text: "", thoughtSignature: signature } });
  }

  #closeMessage(open: Open): void {
    const annotations = citationsOf(this.#candidate, this.#said);
    if (open.text !== "") open.parts[open.part] = { type: "text", text: open.text };
    const first = open.parts.findIndex((part) => part?.type === "text");
    const part = open.parts[first];
    if (annotations.length > 0 && part?.type === "text") {
      for (const annotation of annotations) this.#emit({ type: "annotation", index: open.index, part: first, annotation });
      open.parts[first] = { ...part, annotations };
    }
    const parts = open.parts.filter(Boolean);
    this.#emit({ type: "item_end", index: open.index, item: { type: "message", role: "assistant", parts, origin: this.#origin } });
  }

  #finish(reason: Json | undefined): void {
    if (this.#growing) return this.#fail(broken("The provider's stream ended within a function's arguments.", this.#provider));
    this.#close();
    this.#ended = true;
    const native: JsonObject = {
      ...this.#native,
      ...(Object.keys(this.#candidate).length > 0 && { candidates: [withParts(this.#candidate)] }),
      ...(this.#usage && { usageMetadata: this.#usage }),
    };
    const stop = reason === undefined ? "content_filter" : decodeStop(reason, this.#called);
    this.#emit({ type: "done", stop, ...(reason !== undefined && { stopNative: { finishReason: reason } }), native });
  }
}

function withParts(candidate: JsonObject): JsonObject {
  return isObject(candidate["content"]) ? { ...candidate, content: { ...candidate["content"], parts: [] } } : candidate;
}
