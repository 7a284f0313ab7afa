import {
  problemFrom,
  type Clock,
  type Dialect,
  type Headers,
  type Problem,
  type Provider,
  type UpstreamCall,
  type UpstreamHandle,
  type UpstreamSink,
} from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";

/** Most of an upstream's error body that is read. */
const ERROR_BODY_BYTES = 64 * 1024;
/** How long an upstream may keep its connection open behind a whole answer. */
const CLOSE_MS = 1000;

/** Reads the body of a good answer, piece by piece. May throw a ProblemError. */
export interface BodyReader {
  /** False: no more for now; the reader calls `resume` of the attempt when it can take more. */
  data(chunk: Buffer): boolean;
  /** The body is over; a problem when it was not whole. */
  end(): Problem | undefined;
  /** The same in several turns of the event loop, where it takes long; nothing is told any more once `isOver`. Undefined: `end` is quick. */
  slowEnd?(isOver: () => boolean): Promise<Problem | undefined> | undefined;
  /** `done`: nothing that may still come is of interest. */
  readonly state?: "open" | "done";
}

export interface AttemptOptions {
  readonly provider: Provider;
  /** The language spoken with the provider. */
  readonly dialect: Dialect;
  readonly call: UpstreamCall;
  /** Until the first output when streaming, until the whole answer otherwise. */
  readonly timeoutMs: number;
  /** Between two pieces of a stream. */
  readonly betweenDataMs: number;
  readonly clock: Clock;
  /** Called at the head of a good answer; says who reads the body. */
  read(status: number, headers: Headers): BodyReader;
}

export interface AttemptEnd {
  readonly status?: number | undefined;
  readonly problem?: Problem | undefined;
}

/** One try at one target: opened at once, over when `done` resolves. Never rejects. */
export class Attempt implements UpstreamSink {
  readonly done: Promise<AttemptEnd>;
  #finish!: (end: AttemptEnd) => void;
  readonly #options: AttemptOptions;
  /** Undefined only while the provider opens: it may fail before it returns. */
  readonly #handle: UpstreamHandle | undefined;
  #reader: BodyReader | undefined;
  #status: number | undefined;
  #headers: Headers = {};
  #errorBody: Buffer[] = [];
  #errorBytes = 0;
  #over = false;
  #streaming = false;
  #closing = false;
  /** Our own reader is behind: the upstream waits for it, and its silence is not its fault. The front end bounds how slow a client may be. */
  #paused = false;
  #deadline: number;
  #stopWatch: () => void;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#deadline = options.clock.monotonic() + options.timeoutMs;
    this.#stopWatch = options.clock.after(options.timeoutMs, () => this.#watch());
    this.#handle = options.provider.open(options.call, this);
  }

  /** The reader saw output: from now on only silence between pieces counts. */
  started(): void {
    if (this.#over || this.#streaming || this.#closing || !this.#options.call.stream) return;
    this.#streaming = true;
    this.#deadline = this.#options.clock.monotonic() + this.#options.betweenDataMs;
    this.#stopWatch();
    this.#stopWatch = this.#options.clock.after(this.#options.betweenDataMs, () => this.#watch());
  }

  /** Stops the upstream; `done` resolves with `problem`. */
  cancel(problem: Problem): void {
    if (this.#over) return;
    this.#handle?.cancel();
    this.#conclude(problem);
  }

  resume(): void {
    if (this.#over) return;
    if (this.#paused) {
      this.#paused = false;
      this.#deadline = this.#options.clock.monotonic() + this.#options.betweenDataMs;
    }
    this.#handle?.resume();
  }

  onHead(status: number, headers: Headers): void {
    this.#status = status;
    this.#headers = headers;
    if (status < 200 || status > 299) return;
    try {
      this.#reader = this.#options.read(status, headers);
    } catch (error) {
      this.cancel(problemFrom(error));
    }
  }

  onData(chunk: Buffer): boolean {
    if (this.#over) return true;
    if (!this.#reader) return this.#collectError(chunk);
    if (this.#streaming) this.#deadline = this.#options.clock.monotonic() + this.#options.betweenDataMs;
    try {
      // Set before the call, which may undo it by `resume`.
      this.#paused = this.#streaming;
      const more = this.#reader.data(chunk);
      if (more) this.#paused = false;
      if (this.#reader.state === "done") this.#awaitClose();
      return more;
    } catch (error) {
      this.cancel(problemFrom(error));
      return true;
    }
  }

  /** The answer is whole: its connection has a moment to end properly, so that it can be used again, and is dropped otherwise. */
  #awaitClose(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#stopWatch();
    this.#stopWatch = this.#options.clock.after(CLOSE_MS, () => {
      this.#handle?.cancel();
      this.#conclude(undefined);
    });
  }

  #collectError(chunk: Buffer): boolean {
    if (this.#errorBytes < ERROR_BODY_BYTES) this.#errorBody.push(chunk.subarray(0, ERROR_BODY_BYTES - this.#errorBytes));
    this.#errorBytes += chunk.length;
    if (this.#errorBytes >= ERROR_BODY_BYTES) {
      this.#handle?.cancel();
      this.onEnd();
    }
    return true;
  }

  onEnd(): void {
    if (this.#over) return;
    if (!this.#reader) return this.#conclude(this.#refusal());
    let problem: Problem | undefined;
    try {
      const slow = this.#reader.slowEnd?.(() => this.#over);
      if (slow) return void slow.catch(problemFrom).then((end) => this.#conclude(end));
      problem = this.#reader.end();
    } catch (error) {
      problem = problemFrom(error);
    }
    this.#conclude(problem);
  }

  /** The provider answered, and the answer is an error. */
  #refusal(): Problem {
    const text = Buffer.concat(this.#errorBody).toString("utf8");
    return this.#options.dialect.decodeProblem({
      status: this.#status ?? 502,
      headers: this.#headers,
      body: parseJson(text),
      text: text.slice(0, 500),
      provider: this.#options.provider.id,
      now: this.#options.clock.now(),
    });
  }

  onProblem(problem: Problem): void {
    this.#conclude(problem);
  }

  #conclude(problem: Problem | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopWatch();
    this.#finish({ status: this.#status, problem });
  }

  /** One timer for the whole attempt; it moves with the deadline instead of being set anew for every piece. */
  #watch(): void {
    if (this.#over) return;
    const left = this.#paused ? this.#options.betweenDataMs : this.#deadline - this.#options.clock.monotonic();
    if (left > 0) {
      this.#stopWatch = this.#options.clock.after(left, () => this.#watch());
      return;
    }
    const { provider, call } = this.#options;
    this.cancel({ kind: "upstream_timeout", message: `${provider.id}/${call.model} did not answer in time.` });
  }
}
