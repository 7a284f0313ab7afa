import { createHash } from "node:crypto";
import {
  auth,
  createPrivateKeyJwtAuth,
  type AddClientAuthentication,
  type OAuthClientMetadata,
  type OAuthClientProvider,
  type OAuthDiscoveryState,
  type StoredOAuthClientInformation,
  type StoredOAuthTokens,
} from "@modelcontextprotocol/client";
import { ProblemError, type Clock } from "../canon/index.ts";
import type { Begun, Grant, GrantStore } from "./grants.ts";
import { plain } from "./names.ts";
import type { OAuthOptions } from "./options.ts";

/** A token is renewed so long before it is over, in milliseconds. */
const RENEW_MS = 30_000;
/** A sign-in must be finished within this time, in milliseconds; so many can be under way. */
const FINISH_MS = 600_000;
const MOST_BEGUN = 20;
/** What another process kept is looked for at most so often, in milliseconds. */
const LOOK_MS = 1000;
const MS_PER_SECOND = 1000;

export interface SignInOptions {
  /** The server's name in the configuration. */
  readonly server: string;
  readonly url: string;
  readonly oauth: OAuthOptions;
  readonly grants: GrantStore;
  readonly clock: Clock;
  /** Where whoever signs in is sent back. */
  readonly callback: string | undefined;
  /** Of letters and digits, not to be guessed. */
  readonly newState: () => string;
  /** Reaches the authorization server. */
  readonly fetch: (input: string | URL, init?: RequestInit) => Promise<Response>;
}

/** The gateway as a client of one server's authorization server. The protocol's own package does the asking; this keeps what it learns. */
export class SignIn implements OAuthClientProvider {
  readonly addClientAuthentication?: AddClientAuthentication;
  readonly clientMetadataUrl?: string;
  /** Only who registers itself: what the configuration says goes to one authorization server, and no other is registered at in its place. */
  readonly saveClientInformation?: (client: StoredOAuthClientInformation) => Promise<void>;
  readonly #options: SignInOptions;
  #grant: Grant | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #renewing: Promise<unknown> | undefined;
  #issuer: string | undefined;
  /** Of sign-ins that are being begun. */
  #verifiers: readonly string[] = [];
  /** Of the one that is being finished. */
  #verifier: string | undefined;
  #finishing: Promise<unknown> = Promise.resolve();

  constructor(options: SignInOptions) {
    this.#options = options;
    const { clientId = "", privateKey, algorithm, clientMetadataUrl, issuer } = options.oauth;
    this.#issuer = issuer;
    if (options.oauth.clientId === undefined) this.saveClientInformation = (client) => this.#keep({ client });
    if (clientMetadataUrl !== undefined) this.clientMetadataUrl = clientMetadataUrl;
    if (privateKey)
      this.addClientAuthentication = createPrivateKeyJwtAuth({
        issuer: clientId,
        subject: clientId,
        privateKey: privateKey.reveal(),
        alg: algorithm,
      });
  }

  /** Does a person have to give it? */
  get personal(): boolean {
    return this.#options.oauth.grant === "authorization_code";
  }

  get redirectUrl(): string | undefined {
    return this.personal ? this.#options.callback : undefined;
  }

  get clientMetadata(): OAuthClientMetadata {
    const { scope, clientSecret, privateKey } = this.#options.oauth;
    const method = privateKey ? "private_key_jwt" : clientSecret || !this.personal ? "client_secret_basic" : undefined;
    return {
      client_name: "Gimbal",
      redirect_uris: this.redirectUrl === undefined ? [] : [this.redirectUrl],
      grant_types: this.personal ? ["authorization_code", "refresh_token"] : ["client_credentials"],
      ...(this.personal && { response_types: ["code"] }),
      ...(method !== undefined && { token_endpoint_auth_method: method }),
      ...(scope !== undefined && { scope }),
    };
  }

  /** What the configuration says goes to the issuer that it names, or to the first one that the server leads to, and to no other. */
  async clientInformation(context?: { readonly issuer: string }): Promise<StoredOAuthClientInformation | undefined> {
    const { clientId, clientSecret } = this.#options.oauth;
    if (clientId === undefined) return (await this.#read()).client;
    this.#issuer ??= context?.issuer;
    return {
      client_id: clientId,
      ...(clientSecret && { client_secret: clientSecret.reveal() }),
      ...(this.#issuer !== undefined && { issuer: this.#issuer }),
    };
  }

  /** Those in force, renewed before they are over. */
  async tokens(): Promise<StoredOAuthTokens | undefined> {
    const { clock, url, fetch } = this.#options;
    const { tokens, discovery } = await this.#read();
    const canRenew = !this.personal || tokens?.refresh_token !== undefined;
    if (tokens?.expiresAt === undefined || tokens.expiresAt - clock.now() > RENEW_MS || !canRenew || this.#renewing) return tokens;
    // What is asked from within sees the old one.
    this.#renewing = auth(this, { serverUrl: url, fetchFn: fetch, ...placeOf(discovery) })
      .catch(() => {})
      .finally(() => (this.#renewing = undefined));
    await this.#renewing;
    return (await this.#read()).tokens;
  }

  saveTokens(tokens: StoredOAuthTokens): Promise<void> {
    const { expires_in: seconds } = tokens;
    const expiresAt = seconds === undefined ? undefined : this.#options.clock.now() + seconds * MS_PER_SECOND;
    return this.#keep({ tokens: { ...tokens, ...(expiresAt !== undefined && { expiresAt }) } });
  }

  /** Only for whoever comes back: they were at that authorization server. Everybody else finds out which it is now. */
  async discoveryState(): Promise<OAuthDiscoveryState | undefined> {
    return this.#verifier === undefined ? undefined : (await this.#read()).discovery;
  }

  saveDiscoveryState(discovery: OAuthDiscoveryState): Promise<void> {
    return this.#keep({ discovery });
  }

  state(): string {
    return this.#options.newState();
  }

  saveCodeVerifier(verifier: string): void {
    this.#verifiers = [...this.#verifiers.slice(1 - MOST_BEGUN), verifier];
  }

  codeVerifier(): string {
    if (this.#verifier === undefined) throw new ProblemError({ kind: "invalid_request", message: "No sign-in was begun." });
    return this.#verifier;
  }

  /** A person's browser goes there, not the gateway: it is kept until somebody asks for it. */
  async redirectToAuthorization(url: URL): Promise<void> {
    const at = this.#options.clock.now();
    const state = url.searchParams.get("state") ?? "";
    const challenge = url.searchParams.get("code_challenge");
    // Two may be begun at once: source of the challenge is RFC 7636, section 4.2.
    const verifier = this.#verifiers.find((one) => createHash("sha256").update(one).digest("base64url") === challenge);
    if (verifier === undefined) throw new Error("A sign-in without its verifier was begun.");
    const { begun = {} } = await this.#read(true);
    const open = Object.entries(begun).filter((entry) => entry[1].at > at - FINISH_MS);
    await this.#keep({ begun: Object.fromEntries([...open.slice(1 - MOST_BEGUN), [state, { verifier, url: url.href, at }]]) });
  }

  async invalidateCredentials(scope: "all" | "client" | "tokens" | "verifier" | "discovery"): Promise<void> {
    if (scope === "verifier") return;
    const { client, tokens, discovery, begun } = await this.#read();
    await this.#write({
      ...(client && scope !== "all" && scope !== "client" && { client }),
      ...(tokens && scope !== "all" && scope !== "tokens" && { tokens }),
      ...(discovery && scope !== "all" && scope !== "discovery" && { discovery }),
      ...(begun && { begun }),
    });
  }

  prepareTokenRequest(scope?: string): URLSearchParams | undefined {
    if (this.personal) return undefined;
    return new URLSearchParams({ grant_type: "client_credentials", ...(scope !== undefined && { scope }) });
  }

  /** Where a person signs in, by what was begun of late: for the most scopes, because one call may have needed more than the others. */
  async begun(): Promise<string | undefined> {
    const { begun = {} } = await this.#read(true);
    const earliest = this.#options.clock.now() - FINISH_MS / 2;
    const recent = Object.values(begun).filter(({ at }) => at > earliest);
    return recent.toSorted((one, other) => scopesOf(other) - scopesOf(one) || other.at - one.at)[0]?.url;
  }

  /** Was this sign-in begun here, and is there still time for it? */
  async knows(state: string): Promise<boolean> {
    const { begun = {} } = await this.#read(true);
    return Object.hasOwn(begun, state) && (begun[state]?.at ?? 0) > this.#options.clock.now() - FINISH_MS;
  }

  /**
   * A person came back: `answer` is what the authorization server sent with them.
   * @throws ProblemError when they or it refused, and whatever else the authorization server refuses
   */
  finish(state: string, answer: URLSearchParams): Promise<void> {
    const done = this.#finishing.then(() => this.#finish(state, answer));
    this.#finishing = done.catch(() => {});
    return done;
  }

  async #finish(state: string, answer: URLSearchParams): Promise<void> {
    const { url: serverUrl, fetch, server } = this.#options;
    const { begun = {} } = await this.#read(true);
    const { [state]: one, ...others } = begun;
    if (!one) throw new ProblemError({ kind: "invalid_request", message: "This sign-in was finished already." });
    // Once only, whatever comes of it.
    await this.#keep({ begun: others });
    const authorizationCode = answer.get("code");
    const iss = answer.get("iss") ?? undefined;
    if (authorizationCode === null)
      throw new ProblemError({
        kind: "upstream_rejected",
        message: `The sign-in at the authorization server of "${server}" was refused: ${plain(answer.get("error") ?? "no code came back")}.`,
      });
    this.#verifier = one.verifier;
    try {
      await auth(this, { serverUrl, fetchFn: fetch, authorizationCode, ...(iss !== undefined && { iss }) });
    } finally {
      this.#verifier = undefined;
    }
    // Nobody has to finish what others began.
    await this.#keep({ begun: {} });
  }

  async #read(fresh = false): Promise<Grant> {
    const now = this.#options.clock.monotonic();
    if (!this.#grant || fresh || (this.personal && now - this.#readAt > LOOK_MS)) {
      this.#grant = await this.#options.grants.read(this.#options.server);
      this.#readAt = now;
    }
    return this.#grant;
  }

  async #keep(more: Grant): Promise<void> {
    await this.#write({ ...(await this.#read(this.personal)), ...more });
  }

  async #write(grant: Grant): Promise<void> {
    this.#grant = grant;
    await this.#options.grants.write(this.#options.server, grant);
  }
}

function scopesOf({ url }: Begun): number {
  return new URL(url).searchParams.get("scope")?.split(" ").length ?? 0;
}

/** Where the server said that its metadata is. */
function placeOf(discovery: OAuthDiscoveryState | undefined): { readonly resourceMetadataUrl?: URL } {
  const { resourceMetadataUrl } = discovery ?? {};
  return resourceMetadataUrl === undefined ? {} : { resourceMetadataUrl: new URL(resourceMetadataUrl) };
}
