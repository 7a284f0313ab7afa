import { ProblemError, Secret, type Clock, type Problem } from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import type { HttpClient } from "../wire/types.ts";
import { fetchSmall } from "./listing.ts";
import type { TokenGrant } from "./vertex-credentials.ts";

/** A token with less life left than this is renewed while it is still used, in milliseconds. */
const AHEAD_MS = 300_000;
/** One with less than this is not used any more: it could expire on its way. */
const MARGIN_MS = 10_000;
/** Life of a signed request for a token, in seconds: the longest that is taken. */
const ASSERTION_S = 3600;
/** Longest that a token may take to come, in milliseconds. */
const ASK_MS = 10_000;
const SCOPE = "https://www.googleapis.com/auth/cloud-platform";
const METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token";

interface Token {
  readonly value: Secret;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Tokens of one grant: asked for once, kept while they live, renewed ahead of their end. */
export class TokenSource {
  readonly #provider: string;
  readonly #grant: TokenGrant;
  readonly #client: HttpClient;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #token: Token | undefined;
  #underway: Promise<Token> | undefined;

  /** `client` reaches the host of `tokenHostOf(grant)`. */
  constructor(provider: string, grant: TokenGrant, client: HttpClient, clock: Clock) {
    this.#provider = provider;
    this.#grant = grant;
    this.#client = client;
    this.#clock = clock;
  }

  /** The token at hand, while it lives; a new one is asked for in time. */
  current(): Secret | undefined {
    const left = (this.#token?.expiresAt ?? 0) - this.#clock.now();
    if (left <= MARGIN_MS) return undefined;
    // A failure is told to whoever needs the next token, not to this call, which has one.
    if (left < AHEAD_MS) this.#renew().catch(() => undefined);
    return this.#token?.value;
  }

  /** Rejects with a ProblemError. */
  async get(): Promise<Secret> {
    return this.current() ?? (await this.#renew()).value;
  }

  /** The provider refused this token: the next one is another. */
  forget(token: Secret): void {
    if (this.#token?.value === token) this.#token = undefined;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#client.close();
  }

  #renew(): Promise<Token> {
    const asked = (this.#underway ??= this.#ask().finally(() => (this.#underway = undefined)));
    return asked;
  }

  async #ask(): Promise<Token> {
    const now = this.#clock.now();
    const { path, headers, body } = await this.#request(now);
    const fetched = await fetchSmall(this.#client, path, headers, this.#stop.signal, this.#clock, ASK_MS, body);
    if (!fetched.ok) throw new ProblemError(fetched.problem);
    const answer = parseJson(fetched.text);
    const fields = typeof answer === "object" && answer !== null && !Array.isArray(answer) ? (answer as Record<string, unknown>) : {};
    const { access_token: value, expires_in: seconds } = fields;
    if (fetched.status !== 200 || typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value))
      throw new ProblemError(this.#refused(fetched.status, fields["error"]));
    const life = typeof seconds === "number" && seconds > 0 ? seconds : ASSERTION_S;
    this.#token = { value: new Secret(value), expiresAt: now + life * 1000 };
    return this.#token;
  }

  async #request(now: number): Promise<{ path: string; headers: Record<string, string>; body?: string }> {
    const grant = this.#grant;
    if (grant.type === "metadata") return { path: METADATA_PATH, headers: { "metadata-flavor": "Google" } };
    const { pathname, search } = new URL(grant.tokenUrl);
    const form: Record<string, string> =
      grant.type === "refresh"
        ? {
            grant_type: "refresh_token",
            client_id: grant.clientId,
            client_secret: grant.clientSecret.reveal(),
            refresh_token: grant.refreshToken.reveal(),
          }
        : { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: await this.#assertion(grant, now) };
    return {
      path: pathname + search,
      headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      body: new URLSearchParams(form).toString(),
    };
  }

  /** Source: RFC 7523, and Google's "Using OAuth 2.0 for server to server applications". */
  async #assertion(grant: Extract<TokenGrant, { type: "service-account" }>, now: number): Promise<string> {
    const seconds = Math.floor(now / 1000);
    try {
      // Loaded by whoever has such a key: it costs everybody's start otherwise.
      const { importPKCS8, SignJWT } = await import("jose");
      const key = await importPKCS8(grant.key.reveal(), "RS256");
      return await new SignJWT({ scope: SCOPE })
        .setProtectedHeader({ alg: "RS256", typ: "JWT", ...(grant.keyId !== undefined && { kid: grant.keyId }) })
        .setIssuer(grant.email)
        .setAudience(grant.tokenUrl)
        .setIssuedAt(seconds)
        .setExpirationTime(seconds + ASSERTION_S)
        .sign(key);
    } catch {
      // What went wrong could quote the key.
      throw new ProblemError({
        kind: "upstream_rejected",
        status: 502,
        fault: "credentials",
        message: `The private key of the provider "${this.#provider}" cannot be used to sign: it must be an RSA key in PKCS 8, as issued.`,
      });
    }
  }

  #refused(status: number, error: unknown): Problem {
    const why = typeof error === "string" && /^[\w .-]{1,100}$/.test(error) ? `: ${error}` : "";
    if (status >= 500 || status === 429)
      return { kind: "upstream_unavailable", message: `The token server of the provider "${this.#provider}" answered ${status}${why}.` };
    return {
      kind: "upstream_rejected",
      status: 502,
      fault: "credentials",
      message: `The token server of the provider "${this.#provider}" gave no token (${status}${why}); an administrator must check its credentials.`,
    };
  }
}

/** Where tokens come from, and whether that is a server of one's own network. */
export function tokenHostOf(grant: TokenGrant): { readonly baseUrl: string; readonly isPrivate: boolean } {
  if (grant.type === "metadata") return { baseUrl: `http://${grant.host}`, isPrivate: true };
  const url = new URL(grant.tokenUrl);
  return { baseUrl: url.origin, isPrivate: url.protocol === "http:" };
}
