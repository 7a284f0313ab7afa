import type * as openid from "openid-client";
import type { ClientAuth, Configuration, ServerMetadata } from "openid-client";
import type { Clock, Secret } from "../../canon/index.ts";
import type { PeopleOptions } from "../../gateway/identity-options.ts";
import type { boundedFetch } from "./bounded-fetch.ts";
import { readClaim, type Claims } from "./claims.ts";

type Library = typeof openid;
/** Loaded by whoever signs in first: most gateways know no people. */
const library = (): Promise<Library> => import("openid-client");

/** How long what was discovered of a provider is used. */
const DISCOVERED_MS = 3_600_000;
/** A provider that could not be asked is left alone for so long. */
const COOLDOWN_MS = 5_000;

export interface PeopleDeps {
  readonly clock: Clock;
  readonly fetch: ReturnType<typeof boundedFetch>;
}

/** A provider as it was discovered for a configuration of it. */
interface Found {
  readonly options: PeopleOptions;
  readonly toleranceSeconds: number;
  readonly at: number;
  readonly provider: Promise<Configuration>;
}

/** What must be the same when the browser comes back. */
export interface Attempt {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** What the provider answered to the exchange of a code. */
export interface SignedIn {
  readonly idToken: string;
  readonly subject: string;
  readonly claims: Claims;
}

/** The client of people's provider: authorization code with PKCE. Source: OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9207. */
export class People {
  readonly #deps: PeopleDeps;
  #found: Found | undefined;

  constructor(deps: PeopleDeps) {
    this.#deps = deps;
  }

  /** Where the browser goes, and what to keep of it. Rejects when the provider cannot be asked. */
  async begin(
    options: PeopleOptions,
    toleranceSeconds: number,
    redirectUri: string,
  ): Promise<{ readonly url: URL; readonly attempt: Attempt }> {
    const { buildAuthorizationUrl, calculatePKCECodeChallenge, randomNonce, randomPKCECodeVerifier, randomState } = await library();
    const provider = await this.#provider(options, toleranceSeconds);
    const attempt = { state: randomState(), nonce: randomNonce(), verifier: randomPKCECodeVerifier() };
    const url = buildAuthorizationUrl(provider, {
      redirect_uri: redirectUri,
      response_type: "code",
      scope: [...new Set(["openid", ...options.scopes])].join(" "),
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: await calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: "S256",
    });
    return { url, attempt };
  }

  /** Exchanges the code that the browser brought. Rejects with openid-client's errors when anything does not fit. */
  async finish(options: PeopleOptions, toleranceSeconds: number, answer: URL, { state, nonce, verifier }: Attempt): Promise<SignedIn> {
    const { authorizationCodeGrant, fetchUserInfo } = await library();
    const provider = await this.#provider(options, toleranceSeconds);
    const tokens = await authorizationCodeGrant(provider, answer, {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier: verifier,
      idTokenExpected: true,
    });
    const claims: Claims = { ...tokens.claims() };
    const { sub: subject } = claims;
    if (tokens.id_token === undefined || typeof subject !== "string") throw new Error("the provider sent no ID token");
    // Many providers say groups there only.
    const isComplete = [options.roles.claim, options.nameClaim].every((name) => readClaim(claims, name) !== undefined);
    const more =
      isComplete || provider.serverMetadata().userinfo_endpoint === undefined
        ? {}
        : await fetchUserInfo(provider, tokens.access_token, subject);
    return { idToken: tokens.id_token, subject, claims: { ...more, ...claims } };
  }

  /** Where the browser goes to sign out there too; undefined where the provider offers that not, or cannot be asked. */
  async signOutUrl(options: PeopleOptions, toleranceSeconds: number, back: string, idToken: string | undefined): Promise<URL | undefined> {
    const provider = await this.#provider(options, toleranceSeconds).catch(() => undefined);
    if (provider?.serverMetadata().end_session_endpoint === undefined) return undefined;
    const { buildEndSessionUrl } = await library();
    return buildEndSessionUrl(provider, { post_logout_redirect_uri: back, ...(idToken !== undefined && { id_token_hint: idToken }) });
  }

  #provider(options: PeopleOptions, toleranceSeconds: number): Promise<Configuration> {
    const { clock } = this.#deps;
    const known = this.#found;
    if (known?.options === options && known.toleranceSeconds === toleranceSeconds && clock.monotonic() - known.at < DISCOVERED_MS)
      return known.provider;
    const found = { options, toleranceSeconds, at: clock.monotonic(), provider: this.#discover(options, toleranceSeconds) };
    this.#found = found;
    found.provider.catch(() => {
      // The same answer for whoever asks in the next moment; then it is tried again.
      clock.after(COOLDOWN_MS, () => {
        if (this.#found === found) this.#found = undefined;
      });
    });
    return found.provider;
  }

  async #discover({ issuer, clientId, clientSecret }: PeopleOptions, toleranceSeconds: number): Promise<Configuration> {
    const loaded = await library();
    const { allowInsecureRequests, clockTolerance, Configuration: Provider, customFetch, discovery, None } = loaded;
    const insecure = issuer.startsWith("http:") ? [allowInsecureRequests] : [];
    const found = await discovery(new URL(issuer), clientId, undefined, None(), { execute: insecure, [customFetch]: this.#deps.fetch });
    const server: ServerMetadata = { ...found.serverMetadata() };
    const client = { [clockTolerance]: toleranceSeconds };
    const provider = new Provider(server, clientId, client, authOf(loaded, server, clientSecret));
    provider[loaded.customFetch] = this.#deps.fetch;
    for (const allow of insecure) allow(provider);
    return provider;
  }
}

/** A server that does not say takes the secret in the header. Source: OpenID Connect Discovery 1.0, section 3. */
function authOf(
  { ClientSecretBasic, ClientSecretPost, None }: Library,
  { token_endpoint_auth_methods_supported: methods }: ServerMetadata,
  secret: Secret | undefined,
): ClientAuth {
  if (!secret) return None();
  return !methods || methods.includes("client_secret_basic") ? ClientSecretBasic(secret.reveal()) : ClientSecretPost(secret.reveal());
}
