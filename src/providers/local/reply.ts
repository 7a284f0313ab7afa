import {
  AnswerFold,
  NO_USAGE,
  type AnswerContext,
  type Call,
  type Dialect,
  type Event,
  type FlatNames,
  type Item,
  type Origin,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { eventStream } from "../../kit/index.ts";
import type { JobUsage, Outcome, Piece } from "./protocol.ts";

const STOPS: Readonly<Record<"end" | "length" | "stop" | "calls", StopReason>> = {
  end: "end",
  length: "max_tokens",
  stop: "stop_sequence",
  calls: "tool_calls",
};

export interface ReplyDeps {
  readonly dialect: Dialect;
  readonly call: Call;
  readonly names: FlatNames;
  readonly provider: string;
  readonly model: string;
  /** Unique letters and digits. */
  readonly unique: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

/** Turns what a model says into an answer's bytes: frames as it comes, or all of it at the end. */
export class Reply {
  readonly #deps: ReplyDeps;
  readonly #fold: AnswerFold;
  readonly #context: AnswerContext;
  readonly #encoder: { event(event: Event): void } | undefined;
  readonly #origin: Origin;
  #frames: Uint8Array[] = [];
  /** The item that grows now. */
  #open: { readonly index: number; readonly type: "text" | "thought"; text: string } | undefined;
  #next = 0;

  constructor(deps: ReplyDeps, stream: boolean) {
    const { dialect, call, provider, model, createdAt, unique } = deps;
    this.#deps = deps;
    this.#origin = { dialect: "local", provider, model };
    this.#fold = new AnswerFold(this.#origin);
    this.#context = { call, createdAt };
    const { format } = dialect.framing ?? eventStream;
    if (stream) this.#encoder = dialect.encodeEvents((event, data) => void this.#frames.push(format(event, data)), this.#context);
    this.#tell({ type: "start", id: dialect.newAnswerId?.(unique) ?? unique, model, createdAt });
  }

  get contentType(): string {
    return this.#encoder ? (this.#deps.dialect.framing ?? eventStream).contentType : "application/json";
  }

  piece(piece: Piece): Buffer {
    if (piece.is === "call") this.#call(piece.name, piece.input);
    else this.#grow(piece.is, piece.text);
    return this.#taken();
  }

  done(outcome: Extract<Outcome, { did: "chat" }>): Buffer {
    this.#close();
    this.#tell({ type: "usage", usage: usageOf(outcome.usage) });
    this.#tell({ type: "done", stop: STOPS[outcome.stop] });
    if (this.#encoder) return this.#taken();
    return Buffer.from(JSON.stringify(this.#deps.dialect.encodeAnswer(this.#fold.answer(), this.#context)));
  }

  #grow(type: "text" | "thought", text: string): void {
    if (this.#open?.type !== type) {
      this.#close();
      this.#open = { index: this.#next++, type, text: "" };
      this.#tell({ type: "item_start", index: this.#open.index, item: this.#item(type, "") });
    }
    const { index } = this.#open;
    this.#open.text += text;
    if (type === "text") this.#tell({ type: "text", index, part: 0, text });
    else this.#tell({ type: "reasoning", index, part: 0, kind: "text", text });
  }

  #close(): void {
    if (!this.#open) return;
    const { index, type, text } = this.#open;
    this.#open = undefined;
    this.#tell({ type: "item_end", index, item: this.#item(type, text) });
  }

  #item(type: "text" | "thought", text: string): Item {
    const origin = this.#origin;
    if (type === "text") return { type: "message", role: "assistant", parts: text === "" ? [] : [{ type: "text", text }], origin };
    return { type: "reasoning", parts: text === "" ? [] : [{ kind: "text", text }], origin };
  }

  #call(flatName: string, input: string): void {
    this.#close();
    const index = this.#next++;
    const found = this.#deps.names.find(flatName);
    const item: Item = {
      type: "tool_call",
      kind: "function",
      callId: `call_${this.#deps.unique}${index}`,
      name: found?.tool.name ?? flatName,
      ...(found?.namespace !== undefined && { namespace: found.namespace }),
      input: "",
      origin: this.#origin,
    };
    this.#tell({ type: "item_start", index, item });
    this.#tell({ type: "input", index, text: input });
    this.#tell({ type: "item_end", index, item: { ...item, input } });
  }

  #tell(event: Event): void {
    this.#fold.event(event);
    this.#encoder?.event(event);
  }

  #taken(): Buffer {
    const bytes = Buffer.concat(this.#frames);
    this.#frames = [];
    return bytes;
  }
}

/** Counts are exact: the model's own tokenizer made them. */
export function usageOf({ input, cached, output }: JobUsage): Usage {
  return { ...NO_USAGE, inputUncached: input - cached, cacheRead: cached, output };
}
