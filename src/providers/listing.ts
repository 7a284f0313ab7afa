import type { Clock, Headers, Problem } from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import type { HttpClient } from "../wire/types.ts";

/** A list of models is never larger than this, in bytes. */
const LIST_BYTES = 4 * 1024 * 1024;
/** Names taken from one list. */
const LIST_NAMES = 2000;

export type Fetched =
  | { readonly ok: true; readonly status: number; readonly headers: Headers; readonly text: string }
  | { readonly ok: false; readonly problem: Problem };

/** One small GET, or POST where there is a body, bounded in time and size. Never rejects. */
export function fetchSmall(
  client: HttpClient,
  path: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  clock: Clock,
  timeoutMs: number,
  body?: string,
): Promise<Fetched> {
  const { promise, resolve } = Promise.withResolvers<Fetched>();
  let status = 0;
  let head: Headers = {};
  const chunks: Buffer[] = [];
  let size = 0;
  const finish = (fetched: Fetched): void => {
    stopTimer();
    signal.removeEventListener("abort", onAbort);
    resolve(fetched);
  };
  const giveUp = (problem: Problem): void => {
    handle.cancel();
    finish({ ok: false, problem });
  };
  const onAbort = (): void => giveUp({ kind: "cancelled", message: "The question was withdrawn." });
  const stopTimer = clock.after(timeoutMs, () => giveUp({ kind: "upstream_timeout", message: `No answer within ${timeoutMs} ms.` }));
  const handle = client.open(body === undefined ? { method: "GET", path, headers } : { method: "POST", path, headers, body }, {
    onHead: (code, received) => {
      status = code;
      head = received;
    },
    onData: (chunk) => {
      size += chunk.length;
      if (size > LIST_BYTES) giveUp({ kind: "upstream_broken", message: `The answer is larger than ${LIST_BYTES} bytes.` });
      else chunks.push(chunk);
      return true;
    },
    onEnd: () => finish({ ok: true, status, headers: head, text: Buffer.concat(chunks).toString("utf8") }),
    onProblem: (problem) => finish({ ok: false, problem }),
  });
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return promise;
}

/** Names in a list of models, in any of the shapes in use: `{data: [{id}]}`, `{models: [{name}]}`, `[{id}]`. */
export function modelNames(text: string): readonly { readonly name: string; readonly ownedBy: string | undefined }[] {
  const body = parseJson(text);
  const list = Array.isArray(body) ? body : (member(body, "data") ?? member(body, "models"));
  if (!Array.isArray(list)) return [];
  const names: { name: string; ownedBy: string | undefined }[] = [];
  for (const entry of list.slice(0, LIST_NAMES) as readonly unknown[]) {
    const given = member(entry, "id") ?? member(entry, "name");
    // Some lists name a model by its place in them.
    const name = typeof given === "string" ? given.replace(/^models\//, "") : given;
    const ownedBy = member(entry, "owned_by");
    if (typeof name === "string" && name !== "") names.push({ name, ownedBy: typeof ownedBy === "string" ? ownedBy : undefined });
  }
  return names;
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}
