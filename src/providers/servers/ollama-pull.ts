import { ProblemError, type Problem, type PullProgress } from "../../canon/index.ts";
import { LineSplitter, parseJson } from "../../kit/index.ts";
import { at, countAt, nameAt } from "./read.ts";
import type { ServerParts } from "./types.ts";

/** A line of progress is never longer, in bytes. */
const LINE_BYTES = 64 * 1024;
/** Parts of one model that are counted. */
const MOST_PARTS = 1000;
/** A pull that was cut is asked for again so often, as long as each try came further than the one before. */
const TRIES = 10;
const WAIT_MS = 1000;

/** Told by the server itself: asking again does not help. */
class Refusal extends ProblemError {}

/**
 * `POST /api/pull`, streamed. The server keeps the parts that it has, so a pull that is asked for again goes on where it was; that is done
 * here when the connection breaks, and by whoever runs the command again. Source: Ollama, `docs/api.md`, "Pull a Model".
 *
 * @throws ProblemError
 */
export async function pullModel(
  parts: ServerParts,
  model: string,
  signal: AbortSignal,
  onProgress: (progress: PullProgress) => void,
): Promise<void> {
  let furthest = -1;
  for (let trial = 1; ; trial++) {
    let completed = 0;
    try {
      return await pullOnce(parts, model, signal, (progress) => {
        completed = Math.max(completed, progress.completed ?? 0);
        onProgress(progress);
      });
    } catch (error) {
      if (error instanceof Refusal || signal.aborted || trial === TRIES || completed <= furthest) throw error;
      furthest = completed;
      onProgress({ status: "the connection broke; going on" });
      await new Promise<void>((resolve) => parts.clock.after(WAIT_MS, resolve));
    }
  }
}

function pullOnce(
  { patient, headers, provider }: ServerParts,
  model: string,
  signal: AbortSignal,
  onProgress: (progress: PullProgress) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lines = new LineSplitter(LINE_BYTES);
  const told = new Told(onProgress);
  let status = 0;
  let over = false;
  const finish = (end: () => void): void => {
    if (over) return;
    over = true;
    signal.removeEventListener("abort", onAbort);
    end();
  };
  const fail = (error: ProblemError): void =>
    finish(() => {
      handle.cancel();
      reject(error);
    });
  const onAbort = (): void =>
    fail(new ProblemError({ kind: "cancelled", message: "The pull was stopped; run it again to go on from there." }));
  const refused = (why: string): void =>
    fail(new Refusal({ kind: "upstream_rejected", message: `The server of the provider "${provider}" did not pull "${model}": ${why}.` }));
  const read = (line: string): void => {
    if (over || line === "") return;
    const said = parseJson(line);
    const error = at(said, "error");
    if (error !== undefined) return refused(typeof error === "string" ? error.slice(0, 500) : "it gave no reason");
    if (status >= 200 && status < 300) told.line(said);
  };
  const broken = (why: string): Problem => ({
    kind: "upstream_broken",
    message: `The pull of "${model}" broke off (${why}). What is there is kept; run it again to go on from there.`,
  });
  const handle = patient().open(
    { method: "POST", path: "/api/pull", headers: headers(), body: JSON.stringify({ model, stream: true }) },
    {
      onHead: (code) => void (status = code),
      onData: (chunk) => {
        if (over) return true;
        if (!lines.push(chunk, (line) => read(textOf(line)))) fail(new ProblemError(broken(`a line of more than ${LINE_BYTES} bytes`)));
        return true;
      },
      onEnd: () => {
        if (over) return;
        read(textOf(lines.rest()));
        if (told.done) return finish(resolve);
        if (status < 200 || status > 299) return refused(`it answered ${status}`);
        fail(new ProblemError(broken("the answer ended early")));
      },
      onProblem: ({ message }) => fail(new ProblemError(broken(message.replace(/\.$/, "")))),
    },
  );
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return promise;
}

function textOf(line: Uint8Array): string {
  return new TextDecoder().decode(line).trim();
}

/** What was told of the parts, added up. */
class Told {
  done = false;
  readonly #onProgress: (progress: PullProgress) => void;
  readonly #parts = new Map<string, { readonly total: number; readonly completed: number }>();

  constructor(onProgress: (progress: PullProgress) => void) {
    this.#onProgress = onProgress;
  }

  line(said: unknown): void {
    const status = nameAt(said, "status");
    if (status === undefined) return;
    if (status === "success") this.done = true;
    const digest = nameAt(said, "digest");
    const total = countAt(said, "total");
    if (digest !== undefined && total !== undefined && (this.#parts.has(digest) || this.#parts.size < MOST_PARTS))
      this.#parts.set(digest, { total, completed: Math.min(countAt(said, "completed") ?? 0, total) });
    let [all, there] = [0, 0];
    for (const part of this.#parts.values()) {
      all += part.total;
      there += part.completed;
    }
    this.#onProgress({ status, ...(this.#parts.size > 0 && { total: all, completed: there }) });
  }
}
