import { problemFrom, problemStatus, type Json, type Problem } from "../canon/index.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { Reader, Reading } from "../gateway/reader.ts";
import { lateReading } from "../gateway/resume.ts";
import { eventStream, mediaType } from "../kit/index.ts";
import type { FrontOut } from "../wire/types.ts";

const EVENT_STREAM = mediaType(eventStream.contentType);

/** A JSON answer of the gateway itself. */
export function sendJson(out: FrontOut, status: number, body: object, headers: Readonly<Record<string, string>> = {}): void {
  out.whole(status, { "content-type": "application/json", ...headers }, JSON.stringify(body));
}

/** A problem on a surface that belongs to no dialect: admin, call life, unknown paths. */
export function sendProblem(out: FrontOut, problem: Problem, headers: Readonly<Record<string, string>> = {}): void {
  sendJson(out, problemStatus(problem), { error: problemBody(problem) }, { ...problemHeaders(problem), ...headers });
}

export function problemBody(problem: Problem): Json {
  return {
    type: problem.kind,
    message: problem.message,
    ...(problem.param !== undefined && { param: problem.param }),
    ...(problem.code !== undefined && { code: problem.code }),
  };
}

/** Runs an asynchronous handler; what it throws becomes the answer. */
export function answerWith(out: FrontOut, work: () => Promise<void>, report: (error: unknown) => void): void {
  work().catch((error: unknown) => {
    const problem = problemFrom(error);
    if (problem.kind === "internal") report(error);
    sendProblem(out, problem);
  });
}

/** A client of a call over plain HTTP. */
export class HttpReader implements Reader {
  readonly #out: FrontOut;
  /** The client has taken what it owed. */
  whenDrained: () => void = () => {};
  /**
   * Resumed streams number their frames with an `id:` line; a first reading gets the frames alone, and so does every reading of a language
   * whose streams are no server-sent events: their frames have no room for a number.
   */
  #numbered: boolean;

  constructor(out: FrontOut, options: { readonly numbered: boolean } = { numbered: false }) {
    this.#out = out;
    this.#numbered = options.numbered;
  }

  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.#out.whole(status, headers, body);
  }

  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.#numbered &&= mediaType(headers["content-type"] ?? "") === EVENT_STREAM;
    this.#out.head(status, headers);
  }

  frames(frames: readonly Buffer[], first: number): boolean {
    const [only] = frames;
    const bytes = this.#numbered
      ? Buffer.concat(frames.flatMap((frame, place) => [Buffer.from(`id: ${first + place}\n`), frame]))
      : only && frames.length === 1
        ? only
        : Buffer.concat(frames);
    const more = this.#out.write(bytes);
    // Asked anew each time: the front end calls back once.
    if (!more) this.#out.onDrain(() => this.whenDrained());
    return more;
  }

  end(): void {
    this.#out.end();
  }

  cut(): void {
    this.#out.cut();
  }
}

/** Gives an HTTP client a reader and keeps it going. What `open` throws is thrown on: nothing was said to the client then. */
export async function serveReading(
  out: FrontOut,
  options: { readonly numbered: boolean },
  open: (reader: Reader) => Promise<Reading>,
): Promise<void> {
  const reader = new HttpReader(out, options);
  const opening = open(reader);
  const reading = lateReading(opening, () => {});
  reader.whenDrained = () => reading.drained();
  out.onLeave(() => reading.leave());
  await opening;
}
