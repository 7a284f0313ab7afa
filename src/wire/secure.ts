import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { SecureContext } from "node:tls";
import { ProblemError } from "../canon/index.ts";
import type { ClientTls } from "./types.ts";

/** A file of certificates is never larger, in bytes. */
const MAX_PEM_BYTES = 1024 * 1024;

/**
 * A certificate, several, or a key: the text itself, or the file that holds it. `what` names the option in the error.
 * @throws ProblemError invalid_request
 */
export function pem(what: string, textOrPath: string): string {
  if (textOrPath.includes("-----BEGIN ")) return textOrPath;
  let text: string;
  try {
    if (statSync(textOrPath).size > MAX_PEM_BYTES) throw new Error(`it is larger than ${MAX_PEM_BYTES} bytes`);
    text = readFileSync(textOrPath, "latin1");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : error instanceof Error ? error.message : "unknown";
    throw wrong(`${what} cannot be read at ${textOrPath} (${reason}).`);
  }
  if (!text.includes("-----BEGIN ")) throw wrong(`${what} at ${textOrPath} is no PEM file: it holds no "-----BEGIN" line.`);
  return text;
}

/** What the handshakes with one upstream go by. @throws ProblemError invalid_request when certificate and key cannot be used */
export function clientContext(tls: ClientTls | undefined): SecureContext | undefined {
  if (tls?.ca === undefined && tls?.cert === undefined && tls?.key === undefined) return undefined;
  const { ca, cert, key, passphrase } = tls;
  if ((cert === undefined) !== (key === undefined)) throw wrong("tls.cert and tls.key belong together: set both or neither.");
  return contextOf({
    ...(ca !== undefined && { ca: pem("tls.ca", ca) }),
    ...(cert !== undefined && { cert: pem("tls.cert", cert) }),
    ...(key !== undefined && { key: pem("tls.key", key.reveal()) }),
    ...(passphrase !== undefined && { passphrase: passphrase.reveal() }),
  });
}

interface ContextParts {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly passphrase?: string;
}

/** @throws ProblemError invalid_request, in words that hold nothing of the key */
export function contextOf(parts: ContextParts): SecureContext {
  try {
    return createSecureContext({ ...parts, minVersion: "TLSv1.2" });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    // Without a passphrase an empty one is tried.
    const unsealed = code === "ERR_OSSL_BAD_DECRYPT" && parts.passphrase === undefined;
    const reason = unsealed ? NEEDS_PASSPHRASE : (REASONS[code] ?? "they are damaged or of an unknown kind");
    throw wrong(`The certificate and key cannot be used: ${reason} (${code}).`);
  }
}

const NEEDS_PASSPHRASE = "the key is encrypted and needs a passphrase";
const REASONS: Readonly<Record<string, string>> = {
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: "the key belongs to another certificate",
  ERR_OSSL_BAD_DECRYPT: "the passphrase is wrong",
  ERR_MISSING_PASSPHRASE: NEEDS_PASSPHRASE,
  ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED: NEEDS_PASSPHRASE,
  ERR_OSSL_PEM_BAD_BASE64_DECODE: "the text is damaged",
};

function wrong(message: string): ProblemError {
  return new ProblemError({ kind: "invalid_request", message });
}
