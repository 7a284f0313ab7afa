import { isLoopback } from "../../gateway/identity-options.ts";
import { tidy } from "../../gateway/scope-options.ts";

/** Bytes of a discovery document, of a key set, of an answer to an exchange. */
const ANSWER_BYTES = 512 * 1024;
const ANSWER_MS = 5_000;

interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestInit["body"] | undefined;
}

/**
 * The same fetch for talking to issuers: no redirects, within a time, answers within a size, and only where nobody can listen. What it
 * rejects with names the address.
 */
export function boundedFetch(fetch: typeof globalThis.fetch): (url: string, init?: Sent) => Promise<Response> {
  return async (url, init = {}) => {
    const { protocol, hostname } = new URL(url);
    if (protocol !== "https:" && !(protocol === "http:" && isLoopback(hostname))) throw new Error(`${url} is not an https:// address`);
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(url, { ...tidy(init), redirect: "manual", signal });
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES) throw new Error(`${url} answered with more than ${ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    const { status, statusText, headers } = response;
    return new Response(NO_BODY.has(status) ? null : Buffer.concat(chunks), { status, statusText, headers });
  };
}
/** Statuses whose answers have no body, as the Fetch standard has it. */
const NO_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** A JSON object by GET. */
export async function fetchObject(fetch: ReturnType<typeof boundedFetch>, url: string): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(url, { headers: { accept: "application/json" } });
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  const value: unknown = await response.json();
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${url} did not answer with a JSON object`);
  return Object.fromEntries(Object.entries(value));
}
