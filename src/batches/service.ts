import {
  ProblemError,
  type Headers,
  type Json,
  type JsonObject,
  type HandedPart,
  type Provider,
  type ServiceRequest,
  type UpstreamHandle,
} from "../canon/index.ts";
import { parseJson, readRetryAfter } from "../kit/index.ts";

/** Bytes of an answer that is no result: lists of batches at their largest. */
const ANSWER_BYTES = 8 * 1024 * 1024;
/** Bytes of results on their way, before the provider is told to wait. */
const AHEAD_BYTES = 1024 * 1024;
const MESSAGE_CHARACTERS = 300;
/** Refusals that say nothing of the request. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** What a batch service answered. `refused`: it did not do what was asked, and never will. Otherwise nobody knows whether it did. */
export type Told =
  | { readonly ok: true; readonly json: JsonObject }
  | {
      readonly ok: false;
      readonly refused: boolean;
      readonly status: number | undefined;
      readonly message: string;
      readonly retryAfterMs: number | undefined;
    };

/** Asks a provider's batch service. Never rejects. */
export function askService(provider: Provider, part: HandedPart, request: ServiceRequest, now: number): Promise<Told> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    let status: number | undefined;
    let headers: Headers = {};
    // A provider may answer before it returns.
    const opened: { handle?: UpstreamHandle } = {};
    const unsure = (message: string): void => resolve({ ok: false, refused: false, status, message, retryAfterMs: undefined });
    opened.handle = provider.open(callOf(part, request), {
      onHead(answered, answerHeaders) {
        status = answered;
        headers = answerHeaders;
      },
      onData(piece) {
        pieces.push(piece);
        bytes += piece.length;
        if (bytes <= ANSWER_BYTES) return true;
        opened.handle?.cancel();
        unsure(`The answer of the batch service is larger than ${ANSWER_BYTES} bytes.`);
        return true;
      },
      onEnd: () => resolve(toldBy(status ?? 502, headers, Buffer.concat(pieces).toString("utf8"), now)),
      onProblem: ({ message }) => unsure(message),
    });
  });
}

function toldBy(status: number, headers: Headers, text: string, now: number): Told {
  const json = parseJson(text);
  const isGood = status >= 200 && status < 300;
  if (isGood && isObject(json)) return { ok: true, json };
  const said = messageIn(json) ?? (isGood ? "its answer is no JSON object" : `HTTP ${status}`);
  const refused = status >= 400 && status < 500 && !PASSING.has(status);
  return { ok: false, refused, status, message: said, retryAfterMs: readRetryAfter(headers, now) };
}

function messageIn(json: Json | undefined): string | undefined {
  if (!isObject(json)) return undefined;
  const { error, message } = json;
  const said = isObject(error) ? error["message"] : (message ?? error);
  return typeof said === "string" ? said.slice(0, MESSAGE_CHARACTERS) : undefined;
}

/** The bytes of an answer as they come. @throws ProblemError when they do not come, or not to their end */
export async function* download(provider: Provider, part: HandedPart, request: ServiceRequest): AsyncGenerator<Buffer> {
  const pieces: Buffer[] = [];
  let ahead = 0;
  let end: { readonly problem: ProblemError | undefined } | undefined;
  let wake = (): void => {};
  const over = (problem?: ProblemError): void => {
    end ??= { problem };
    wake();
  };
  const handle = provider.open(callOf(part, request), {
    onHead(status) {
      if (status < 200 || status > 299)
        over(new ProblemError({ kind: "upstream_broken", message: `The results were answered with HTTP ${status}.` }));
    },
    onData(piece) {
      pieces.push(piece);
      ahead += piece.length;
      wake();
      return ahead < AHEAD_BYTES;
    },
    onEnd: () => over(),
    onProblem: (problem) => over(new ProblemError(problem)),
  });
  try {
    for (;;) {
      if (end?.problem) throw end.problem;
      const piece = pieces.shift();
      if (piece) {
        ahead -= piece.length;
        yield piece;
        if (ahead < AHEAD_BYTES) handle.resume();
      } else if (end) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    if (!end) handle.cancel();
  }
}

function callOf({ dialect, model, credential }: HandedPart, request: ServiceRequest): Parameters<Provider["open"]>[0] {
  return { dialect, operation: "generate", model, stream: false, attempt: 0, request, ...(credential !== undefined && { credential }) };
}

function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
