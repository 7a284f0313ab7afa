import {
  addUsage,
  PROBLEM_KINDS,
  problemFrom,
  type Clock,
  type Dialect,
  type Headers,
  type Problem,
  type Provider,
  type Task,
  type TaskCodec,
  type TaskResult,
  type UpstreamCall,
  type UpstreamHandle,
  type UpstreamSink,
  type Usage,
} from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import { BodyCollector, broken, JSON_TYPE } from "./reply.ts";
import { merged } from "./task-merge.ts";

/** Requests of one call that run at once. */
const PARALLEL = 4;
/** How often one piece is tried again by itself, and the first wait before that; later ones double. */
const REPEATS = 2;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5000;
/** Bytes of all answers together, in answers of one piece at its largest. */
const WHOLE_ANSWERS = 4;
/** Most of an error that is read. */
const ERROR_TEXT = 500;

export interface SlicedParts {
  readonly provider: Provider;
  readonly dialect: Dialect;
  readonly codec: TaskCodec;
  readonly task: Task;
  readonly slices: readonly Task[];
  readonly encode: (slice: Task) => Pick<UpstreamCall["request"], "path" | "headers" | "body">;
  readonly clock: Clock;
  /** Bytes of the answer to one piece. */
  readonly answerBytes: number;
  /** Somebody keeps the answer as it would have come; otherwise writing and reading it once more would only cost time. */
  readonly isKept: boolean;
}

/**
 * A provider that is asked in several requests what does not fit into one, and answers as if it had been one. A piece that fails is tried
 * again by itself; when that does not help, the rest is stopped and the whole fails as that piece did. What the others used is known.
 */
export class SlicedProvider implements Provider {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly #parts: SlicedParts;
  #spent: Usage | undefined;
  #result: TaskResult | undefined;

  constructor(parts: SlicedParts) {
    this.#parts = parts;
    this.id = parts.provider.id;
    this.dialects = parts.provider.dialects;
  }

  /** What the pieces used so far. */
  get spent(): Usage | undefined {
    return this.#spent;
  }

  /** The whole, once it is there. */
  get result(): TaskResult | undefined {
    return this.#result;
  }

  open(call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const finish = (result: TaskResult): void => {
      this.#result = result;
    };
    const spend = (usage: Usage): void => {
      this.#spent = this.#spent ? addUsage(this.#spent, usage) : usage;
    };
    return new SlicedCall(this.#parts, call, sink, { spend, finish });
  }
  capabilities: Provider["capabilities"] = (model) => this.#parts.provider.capabilities(model);
  models: Provider["models"] = (signal) => this.#parts.provider.models(signal);
  check: Provider["check"] = (signal) => this.#parts.provider.check(signal);
  close: Provider["close"] = () => this.#parts.provider.close();
}

class SlicedCall implements UpstreamHandle {
  readonly #parts: SlicedParts;
  readonly #call: UpstreamCall;
  readonly #sink: UpstreamSink;
  readonly #tell: Told;
  readonly #results: (TaskResult | undefined)[];
  readonly #running = new Set<UpstreamHandle>();
  readonly #timers = new Set<() => void>();
  #next = 0;
  #left: number;
  #bytes = 0;
  #over = false;

  constructor(parts: SlicedParts, call: UpstreamCall, sink: UpstreamSink, tell: Told) {
    this.#parts = parts;
    this.#call = call;
    this.#sink = sink;
    this.#tell = tell;
    this.#left = parts.slices.length;
    this.#results = parts.slices.map(() => undefined);
    for (let at = 0; at < PARALLEL; at++) this.#begin();
  }

  cancel(): void {
    this.#stop();
  }
  resume(): void {}

  #begin(): void {
    if (this.#over || this.#next >= this.#parts.slices.length) return;
    this.#ask(this.#next++, 0);
  }

  #ask(place: number, repeats: number): void {
    const slice = this.#parts.slices[place];
    if (!slice || this.#over) return;
    try {
      const { path, headers, body } = this.#parts.encode(slice);
      // A provider may answer before it returns.
      const piece: Piece = new Piece(this.#parts.answerBytes, (answer) => {
        if (piece.handle) this.#running.delete(piece.handle);
        this.#heard(place, repeats, slice, answer);
      });
      const handle = this.#parts.provider.open({ ...this.#call, request: { method: "POST", path, headers, body } }, piece);
      piece.handle = handle;
      if (!piece.over) this.#running.add(handle);
    } catch (error) {
      this.#fail({ problem: problemFrom(error) });
    }
  }

  #heard(place: number, repeats: number, slice: Task, answer: PieceAnswer): void {
    if (this.#over) return;
    const failed = this.#read(place, slice, answer);
    if (!failed) {
      if (--this.#left === 0) this.#finish();
      else this.#begin();
      return;
    }
    if (repeats >= REPEATS || !PROBLEM_KINDS[failed.kind].retryable) return this.#fail({ ...answer, problem: failed });
    const waitMs = Math.min(LONGEST_WAIT_MS, failed.retryAfterMs ?? FIRST_WAIT_MS * 2 ** repeats);
    const cancel = this.#parts.clock.after(waitMs, () => {
      this.#timers.delete(cancel);
      this.#ask(place, repeats + 1);
    });
    this.#timers.add(cancel);
  }

  #read(place: number, task: Task, { status = 502, headers = {}, body, problem }: PieceAnswer): Problem | undefined {
    if (problem) return problem;
    const { codec, dialect, provider, clock } = this.#parts;
    this.#bytes += body?.length ?? 0;
    if (this.#bytes > WHOLE_ANSWERS * this.#parts.answerBytes)
      return {
        kind: "too_large",
        status: 502,
        message: `The provider's answers are larger than ${WHOLE_ANSWERS * this.#parts.answerBytes} bytes together.`,
      };
    const text = body?.toString("utf8") ?? "";
    const json = parseJson(text);
    if (status > 299)
      return dialect.decodeProblem({
        status,
        headers,
        body: json,
        text: text.slice(0, ERROR_TEXT),
        provider: provider.id,
        now: clock.now(),
      });
    if (json === undefined) return broken("The provider answered with something that is not JSON.");
    try {
      const result = codec.decodeResult(json, { task, provider: provider.id, headers });
      if (result.usage) this.#tell.spend(result.usage);
      this.#results[place] = result;
      return undefined;
    } catch (error) {
      return problemFrom(error);
    }
  }

  #finish(): void {
    const { task, slices, codec, isKept } = this.#parts;
    this.#stop();
    try {
      const whole = merged(
        task,
        slices,
        this.#results.filter((result) => result !== undefined),
      );
      this.#tell.finish(whole);
      const context = { task, model: this.#call.model, unique: "", createdAt: 0 };
      const body = isKept ? Buffer.from(JSON.stringify(codec.encodeResult(whole, context))) : UNWRITTEN;
      this.#sink.onHead(200, { "content-type": JSON_TYPE, ...codec.answerHeaders?.(whole) });
      this.#sink.onData(body);
      this.#sink.onEnd();
    } catch (error) {
      this.#sink.onProblem(problemFrom(error));
    }
  }

  /** The whole fails as the piece did: in the provider's own words, where it had any. */
  #fail({ status, headers = {}, body, problem }: PieceAnswer): void {
    if (this.#over) return;
    this.#stop();
    if (status === undefined || status < 300) return this.#sink.onProblem(problem ?? broken("The provider's answer broke off."));
    this.#sink.onHead(status, headers);
    if (body) this.#sink.onData(body);
    this.#sink.onEnd();
  }

  #stop(): void {
    this.#over = true;
    for (const handle of this.#running) handle.cancel();
    for (const cancel of this.#timers) cancel();
  }
}

interface Told {
  spend(usage: Usage): void;
  finish(result: TaskResult): void;
}

const UNWRITTEN = Buffer.from("{}");

interface PieceAnswer {
  readonly status?: number;
  readonly headers?: Headers;
  readonly body?: Buffer;
  readonly problem?: Problem;
}

/** Collects the answer to one piece. */
class Piece implements UpstreamSink {
  handle: UpstreamHandle | undefined;
  over = false;
  readonly #done: (answer: PieceAnswer) => void;
  readonly #body: BodyCollector;
  readonly #maxBytes: number;
  #status = 0;
  #headers: Headers = {};

  constructor(maxBytes: number, done: (answer: PieceAnswer) => void) {
    this.#maxBytes = maxBytes;
    this.#body = new BodyCollector(maxBytes);
    this.#done = done;
  }

  onHead(status: number, headers: Headers): void {
    this.#status = status;
    this.#headers = headers;
  }
  onData(chunk: Buffer): boolean {
    if (this.over || this.#body.add(chunk)) return true;
    this.handle?.cancel();
    this.#tell({ problem: broken(`The provider's answer is larger than ${this.#maxBytes} bytes.`) });
    return true;
  }
  onEnd(): void {
    this.#tell({ status: this.#status, headers: this.#headers, body: this.#body.bytes() });
  }
  onProblem(problem: Problem): void {
    this.#tell({ problem });
  }

  #tell(answer: PieceAnswer): void {
    if (this.over) return;
    this.over = true;
    this.#done(answer);
  }
}
