import type { Answer, AnswerContext, Call, Dialect, Guard, Headers, Item, Limits, Problem, StopReason, Usage } from "../canon/index.ts";
import type { BodyReader } from "../routing/attempt.ts";
import { isStreamOf } from "./framing.ts";
import { DecodedStream, DecodedWhole } from "./reply-decoded.ts";
import { ForwardedStream, ForwardedWhole } from "./reply-forwarded.ts";
import type { LiveCall } from "./live.ts";
import type { Break } from "./stitch.ts";
import { openTaskReply, type TaskReply } from "./task-reply.ts";

/** What became known of an answer while it passed. */
export interface AnswerReport {
  readonly id?: string | undefined;
  readonly model?: string | undefined;
  readonly stop?: StopReason | undefined;
  readonly usage?: Usage | undefined;
  /** For an estimate where the upstream gave no usage. */
  readonly outputCharacters: number;
}

/** Carries a good answer from the upstream to the live call. */
export interface Reply extends BodyReader {
  /** `done`: the answer's regular end has passed; what the connection does afterwards is of no interest. */
  readonly state: "open" | "done";
  /** What it sends are plain bytes: a failure in the middle cannot be told among them. */
  readonly plain?: true;
  report(): AnswerReport;
  /** The answer in canonical form, for keeping; only to be asked after a clean end. */
  answer(): Answer | undefined;
}

export interface ReplyContext {
  readonly live: LiveCall;
  /** The client's language and the provider's. */
  readonly client: Dialect;
  readonly upstream: Dialect;
  readonly provider: { readonly id: string };
  /** Whom was asked there, for answers that do not say it. */
  readonly target?: { readonly model: string } | undefined;
  readonly wantsStream: boolean;
  /** Same language and nobody changes the content: the bytes pass. */
  readonly forward: boolean;
  /**
   * The stream is gone on with when it breaks. Then everything but words is held until the next words, and everything from the first tool
   * call on until the end: so it only ever breaks right behind some words, and no call is half told.
   */
  readonly continues?: boolean;
  /** What is asked is no conversation. */
  readonly task?: TaskReply | undefined;
  /** The answer goes on with a stream that broke. */
  readonly gap?: Break | undefined;
  /** We asked for a usage frame that the client did not ask for. */
  readonly withholdUsage: boolean;
  /** The answer is wanted in canonical form afterwards. */
  readonly keep: boolean;
  readonly guards: readonly Guard[];
  readonly limits: Limits;
  /** The call in canonical form; decoded only when first asked for. */
  canonicalCall(): Call;
  answerContext(): AnswerContext;
  /** An item of the answer as the client is to see it, where that differs. */
  shown?(item: Item): Item;
  /** The gateway's own headers, complete at the moment of the first output. */
  headers(): Record<string, string>;
  /** The first output came; may be told twice. @throws ProblemError when another attempt was faster */
  onOutput(): void;
}

/** Chooses how the body of a good answer is read, by what was asked and what came. */
export function openReply(context: ReplyContext, headers: Headers): Reply {
  if (context.task) return openTaskReply(context, context.task, headers);
  const isStream = isStreamOf(context.upstream, headers["content-type"]);
  if (context.forward && !context.gap && isStream === context.wantsStream)
    return isStream ? new ForwardedStream(context) : new ForwardedWhole(context);
  return isStream ? new DecodedStream(context) : new DecodedWhole(context);
}

export const JSON_TYPE = "application/json";

export function broken(message: string): Problem {
  return { kind: "upstream_broken", message };
}

/** Collects a bounded body. */
export class BodyCollector {
  readonly #chunks: Buffer[] = [];
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }
  /** False when the limit is passed. */
  add(chunk: Buffer): boolean {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    return this.#bytes <= this.#maxBytes;
  }
  get size(): number {
    return this.#bytes;
  }
  bytes(): Buffer {
    const [first, ...more] = this.#chunks;
    return first && more.length === 0 ? first : Buffer.concat(this.#chunks);
  }
}
