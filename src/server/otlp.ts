import type { Clock } from "../canon/index.ts";
import type { OtlpOptions, Sender, SendOutcome } from "../ledger/telemetry/index.ts";
import type { ClientOptions, HttpClient } from "../wire/types.ts";

const TRACES = "/v1/traces";
/** One export at a time; a second connection for the one that a changed configuration opens. */
const CONNECTIONS = 2;
const HEADER_BYTES = 16 * 1024;
/** Of an answer; a collector says little. */
const ANSWER_BYTES = 64 * 1024;

export interface OtlpDeps {
  readonly connect: (options: ClientOptions) => HttpClient;
  readonly clock: Clock;
}

/** Posts spans to a collector. Source: OTLP specification, "OTLP/HTTP". Its address is the operator's, so it may be a private one. */
export function otlpSender({ endpoint, headers, timeoutMs }: OtlpOptions, { connect, clock }: OtlpDeps): Sender {
  const url = new URL(endpoint);
  const base = url.pathname.replace(/\/+$/, "");
  const client = connect({
    baseUrl: url.origin,
    allowPrivateNetwork: true,
    connectTimeoutMs: timeoutMs,
    headTimeoutMs: timeoutMs,
    dataTimeoutMs: timeoutMs,
    maxConnections: CONNECTIONS,
    maxHeaderBytes: HEADER_BYTES,
    clock,
  });
  const path = (base.endsWith(TRACES) ? base : base + TRACES) + url.search;
  return { send: (body) => post(client, { path, headers, timeoutMs, body, clock }), close: () => client.close() };
}

interface Post extends Pick<OtlpOptions, "headers" | "timeoutMs"> {
  readonly path: string;
  readonly body: string;
  readonly clock: Clock;
}

function post(client: HttpClient, { path, headers, timeoutMs, body, clock }: Post): Promise<SendOutcome> {
  return new Promise((resolve) => {
    let status = 0;
    let retryAfterMs: number | undefined;
    const pieces: Buffer[] = [];
    let bytes = 0;
    const over = (outcome: SendOutcome): void => {
      cancelTimer();
      resolve(outcome);
    };
    const handle = client.open(
      { method: "POST", path, headers: { ...revealed(headers), "content-type": "application/json" }, body },
      {
        onHead: (seen, answered) => {
          status = seen;
          retryAfterMs = secondsOf(answered["retry-after"]);
        },
        onData: (piece) => {
          bytes += piece.length;
          if (bytes <= ANSWER_BYTES) pieces.push(piece);
          return true;
        },
        onEnd: () => over({ status, retryAfterMs, rejectedSpans: rejectedSpans(Buffer.concat(pieces)) }),
        onProblem: (problem) => over({ status: undefined, reason: problem.message }),
      },
    );
    // The client's own limits are of silence: one that answers a byte at a time would hold the exports up for good.
    const cancelTimer = clock.after(timeoutMs, () => {
      handle.cancel();
      resolve({ status: undefined, reason: `The collector took longer than ${timeoutMs} ms` });
    });
  });
}

function revealed(headers: OtlpOptions["headers"]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, secret]) => [name.toLowerCase(), secret.reveal()]));
}

function secondsOf(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

/** `partialSuccess.rejectedSpans` of the answer; nothing where it cannot be read. */
function rejectedSpans(body: Buffer): number | undefined {
  try {
    const answer = JSON.parse(body.toString("utf8")) as { readonly partialSuccess?: { readonly rejectedSpans?: number | string } } | null;
    const rejected = Number(answer?.partialSuccess?.rejectedSpans ?? 0);
    return Number.isFinite(rejected) && rejected > 0 ? rejected : undefined;
  } catch {
    return undefined;
  }
}
