import { type KeyEncryption, ProblemError, type Secret } from "../../canon/index.ts";

/** Name of the scheme in files of keys and in the environment. */
export const TRANSIT = "vault-transit";
/** How long the keeper may take for one key. */
const ANSWER_MS = 10_000;
/** Characters of an answer: a wrapped key has about a hundred. */
const ANSWER_CHARACTERS = 64 * 1024;
const CIPHERTEXT = /^vault:v\d+:[A-Za-z0-9+/=]+$/;

export interface TransitOptions {
  readonly address: string;
  /** Asked for before each request. */
  readonly token: () => Secret;
  /** Of the key that wraps; it never leaves the keeper. */
  readonly keyName: string;
  /** Where the engine is mounted. */
  readonly mount: string;
  readonly namespace?: string;
  readonly fetch: typeof fetch;
}

/**
 * Wraps data keys by the transit secrets engine of HashiCorp Vault (HTTP API, `POST /v1/transit/encrypt/:name` and `/decrypt/:name`).
 * Rotating the key there needs nothing here: what it wraps says by which of its versions it is wrapped.
 *
 * Both reject with `storage_unavailable` (code `data_key`), saying what the keeper said.
 */
export function transitEncryption(options: TransitOptions): KeyEncryption {
  return {
    scheme: TRANSIT,
    async wrap(key) {
      const ciphertext = await ask(options, "encrypt", { plaintext: Buffer.from(key).toString("base64") }, "ciphertext");
      if (!CIPHERTEXT.test(ciphertext)) throw refusal(options, "what it answered is no wrapped key");
      return ciphertext;
    },
    unwrap: async (ciphertext) => Buffer.from(await ask(options, "decrypt", { ciphertext }, "plaintext"), "base64"),
  };
}

async function ask(options: TransitOptions, what: "encrypt" | "decrypt", body: object, member: string): Promise<string> {
  const { address, mount, keyName, namespace, token } = options;
  const url = new URL(`v1/${mount}/${what}/${encodeURIComponent(keyName)}`, address.endsWith("/") ? address : `${address}/`);
  let status: number;
  let text: string;
  try {
    const response = await options.fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-vault-request": "true",
        "x-vault-token": token().reveal(),
        ...(namespace !== undefined && { "x-vault-namespace": namespace }),
      },
      body: JSON.stringify(body),
      // A token goes to nobody but the keeper itself.
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    status = response.status;
    text = (await response.text()).slice(0, ANSWER_CHARACTERS);
  } catch (error) {
    throw refusal(options, reasonIn(error));
  }
  const answer = parsed(text);
  const value = answer.data?.[member];
  if (status === 200 && typeof value === "string") return value;
  throw refusal(options, `${status}${answer.errors?.length ? ` (${answer.errors.join("; ")})` : ""}`);
}

interface Answer {
  readonly data?: Readonly<Record<string, unknown>>;
  readonly errors?: readonly string[];
}

function parsed(text: string): Answer {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

function reasonIn(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${ANSWER_MS / 1000} s`;
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}

function refusal({ address, keyName }: TransitOptions, why: string): ProblemError {
  const message = `The data key cannot be had from the key "${keyName}" at ${address}: ${why}.`;
  return new ProblemError({ kind: "storage_unavailable", message, code: "data_key" });
}
