import { OAuthError, ProtocolError, SdkError, SdkErrorCode, SdkHttpError, UnauthorizedError } from "@modelcontextprotocol/client";
import { ProblemError, type Clock, type Problem } from "../canon/index.ts";
import { Connection, NOTHING, RUNNING, type Catalogue, type ConnectionOptions, type RunningCall } from "./connection.ts";
import { plain } from "./names.ts";
import type { ServerOptions } from "./options.ts";
import type { SignIn, SignInOptions } from "./sign-in.ts";
import { Slots } from "./slots.ts";
import { UpstreamFetch } from "./upstream-fetch.ts";
import { Watched } from "./watching.ts";

/** Wait before a server that was lost is connected again: doubled each time, up to the longest. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 60_000;
/** So long a connection must have held for the next wait to be the first again. */
const STEADY_MS = 30_000;

export type UpstreamState = "connecting" | "ready" | "down" | "closed";

export interface UpstreamDeps extends Pick<ConnectionOptions, "version" | "env" | "log" | "onResource"> {
  readonly clock: Clock;
  /** It offers something else than before. */
  readonly onCatalogue: (upstream: Upstream) => void;
  /** What was watched at the server of this name before its options changed. */
  readonly watched?: Watched | undefined;
  /** How the gateway gets its tokens, for a server that has them asked for. */
  readonly openSignIn: (options: Pick<SignInOptions, "server" | "url" | "oauth" | "fetch">) => SignIn;
}

export interface CallOptions extends Omit<RunningCall, "stop"> {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** One configured server, connected again whenever it is lost. */
export class Upstream {
  readonly name: string;
  readonly options: ServerOptions;
  readonly watched: Watched;
  readonly #deps: UpstreamDeps;
  readonly #slots: Slots;
  readonly #ending = new AbortController();
  readonly #running = new Set<RunningCall>();
  readonly #signIn: SignIn | undefined;
  /** Reaches its authorization server, whether it is connected or not. */
  readonly #authFetch: UpstreamFetch | undefined;
  #connection: Connection | undefined;
  #catalogue: Catalogue = NOTHING;
  #state: UpstreamState = "connecting";
  #why = "it is being connected";
  #failures = 0;
  #connectedAt = 0;
  #retryAt = 0;
  #first: Promise<void>;
  #reading: Promise<void> | undefined;
  #again = false;
  #stopWaiting: () => void = () => {};

  constructor(name: string, options: ServerOptions, deps: UpstreamDeps) {
    this.name = name;
    this.options = options;
    this.#deps = deps;
    this.watched = deps.watched ?? new Watched();
    this.#slots = new Slots(options.relay.length > 0 ? 1 : options.concurrency);
    const { url, oauth } = options;
    if (url !== undefined && oauth) {
      this.#authFetch = new UpstreamFetch({
        ...options,
        url,
        elsewhere: true,
        headTimeoutMs: options.connectTimeoutMs,
        maxBytes: options.maxResultBytes,
        clock: deps.clock,
        whenTooLong: () => () => {},
      });
      this.#signIn = deps.openSignIn({ server: name, url, oauth, fetch: this.#authFetch.fetch });
    }
    this.#first = this.#connect();
  }

  get state(): UpstreamState {
    return this.#state;
  }
  /** Why it cannot be used, in a few words; empty while it can. */
  get why(): string {
    return this.#state === "ready" ? "" : this.#why;
  }
  get catalogue(): Catalogue {
    return this.#catalogue;
  }
  get revision(): string | undefined {
    return this.#connection?.client.getNegotiatedProtocolVersion();
  }
  /** Does it ask back by answers instead of requests? */
  get modern(): boolean {
    return this.#connection?.client.getProtocolEra() === "modern";
  }
  get capabilities(): ReturnType<Connection["client"]["getServerCapabilities"]> {
    return this.#connection?.client.getServerCapabilities();
  }

  /** Resolves when its first connection has come to something, or failed. */
  whenTried(): Promise<void> {
    return this.#first;
  }

  /**
   * Asks it something, when it has room. What its answer says is passed on; everything else that can go wrong is a problem.
   * @throws ProblemError, ProtocolError in the server's own words
   */
  async call<T>(options: CallOptions, ask: (client: Connection["client"], signal: AbortSignal, timeout: number) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const leave = (): void => stop.abort(options.signal.reason);
    if (options.signal.aborted) leave();
    options.signal.addEventListener("abort", leave, { once: true });
    const running: RunningCall = { stop, ask: options.ask, tell: options.tell };
    const cancel = this.#deps.clock.after(options.timeoutMs, () => stop.abort(new ProblemError(this.#tooSlow(options.timeoutMs))));
    let giveBack = (): void => {};
    try {
      giveBack = await this.#slots.take(stop.signal);
      const connection = this.#connection;
      if (!connection || this.#state !== "ready") throw new ProblemError(this.#unavailable());
      this.#running.add(running);
      return await RUNNING.run(running, () => ask(connection.client, stop.signal, options.timeoutMs + TIMEOUT_SLACK_MS));
    } catch (error) {
      throw this.#failure(error, stop.signal);
    } finally {
      this.#running.delete(running);
      giveBack();
      cancel();
      options.signal.removeEventListener("abort", leave);
    }
  }

  /** From now on changes of the resource are told. Resolves with how to end that. @throws as `call` does */
  async watch(uri: string, signal: AbortSignal): Promise<() => void> {
    const isNew = !this.watched.has(uri);
    const stop = this.want(uri);
    if (!isNew) return stop;
    try {
      await this.call({ signal, timeoutMs: this.options.timeoutMs }, (_client, ended) => this.#watching().begin(uri, ended));
      return stop;
    } catch (error) {
      stop();
      throw error;
    }
  }

  /** As `watch`, but the server is asked when it is connected the next time. @throws ProblemError rate_limited */
  want(uri: string): () => void {
    this.watched.add(uri);
    let wants = true;
    return () => {
      if (wants) this.watched.remove(uri);
      wants = false;
    };
  }

  /** Where a person signs in at its authorization server. @throws ProblemError when nobody has to, or it cannot be found */
  async signInUrl(): Promise<string> {
    const signIn = this.#signIn;
    if (!signIn?.personal)
      throw new ProblemError({
        kind: "invalid_request",
        message: `Nobody signs in at the server "${this.name}": it has no \`oauth\` with \`grant: authorization_code\`.`,
      });
    const begun = await signIn.begun();
    if (begun !== undefined) return begun;
    await signIn.invalidateCredentials("tokens");
    await signIn.invalidateCredentials("discovery");
    await this.#connectAnew();
    const url = await signIn.begun();
    if (url === undefined)
      throw new ProblemError({ kind: "upstream_broken", message: `The server "${this.name}" asks nobody to sign in: ${this.#why}.` });
    return url;
  }

  /** False: this sign-in was begun elsewhere. @throws ProblemError when it was refused */
  async signedIn(state: string, answer: URLSearchParams): Promise<boolean> {
    if (!(await this.#signIn?.knows(state))) return false;
    try {
      await this.#signIn?.finish(state, answer);
    } catch (error) {
      if (error instanceof ProblemError) throw error;
      throw new ProblemError({ kind: "upstream_rejected", message: `The sign-in at "${this.name}" failed: ${whyOf(error)}.` });
    }
    if (this.#state !== "ready") await this.#connectAnew();
    return true;
  }

  /** At once, whatever the wait. */
  async #connectAnew(): Promise<void> {
    this.#stopWaiting();
    const { signal } = this.#ending;
    if (signal.aborted) return;
    const before = this.#connection;
    this.#connection = undefined;
    await before?.close();
    this.#state = "connecting";
    this.#first = this.#connect();
    await this.#first;
  }

  async close(): Promise<void> {
    this.#state = "closed";
    this.#why = "it is no longer configured, or the gateway is stopping";
    this.#stopWaiting();
    this.#ending.abort(new Error("closed"));
    for (const { stop } of this.#running) stop.abort(new ProblemError(this.#unavailable()));
    await Promise.all([this.#connection?.close(), this.#authFetch?.close()]);
  }

  #watching(): Connection["watching"] {
    if (!this.#connection) throw new ProblemError(this.#unavailable());
    return this.#connection.watching;
  }

  async #connect(): Promise<void> {
    const { clock, onCatalogue } = this.#deps;
    const connection = new Connection({
      ...this.#deps,
      name: this.name,
      options: this.options,
      watched: this.watched,
      signIn: this.#signIn,
      // What keeps it from opening says more than that it closed.
      onClose: () => {
        if (this.#state === "ready") this.#lost(connection, connection.reason?.message ?? "it closed the connection");
      },
      onListChanged: () => this.#rereadSoon(connection),
      // Asked only where one call is under way at a time.
      current: () => (this.options.relay.length > 0 ? [...this.#running][0] : undefined),
    });
    this.#connection = connection;
    try {
      this.#catalogue = await connection.open(this.#ending.signal);
      if (this.#connection !== connection || this.#ending.signal.aborted) return await connection.close();
      this.#state = "ready";
      this.#connectedAt = clock.monotonic();
      onCatalogue(this);
    } catch (error) {
      this.#lost(connection, connection.reason?.message ?? this.#needsSignIn(error) ?? whyOf(error));
    }
  }

  /** One reading at a time, and one more for all that changed meanwhile. */
  #rereadSoon(connection: Connection): void {
    if (this.#reading) return void (this.#again = true);
    this.#again = false;
    this.#reading = this.#reread(connection).finally(() => {
      this.#reading = undefined;
      if (this.#again) this.#rereadSoon(connection);
    });
  }

  async #reread(connection: Connection): Promise<void> {
    try {
      const catalogue = await connection.read(this.#ending.signal);
      if (this.#connection !== connection) return;
      this.#catalogue = catalogue;
      this.#deps.onCatalogue(this);
    } catch (error) {
      if (!this.#ending.signal.aborted) this.#deps.log(`mcp ${this.name}: cannot say what it offers: ${plain(error)}`);
    }
  }

  /** Calls in flight fail so that they may be tried again; the server is connected again after a while. */
  #lost(connection: Connection, why: string): void {
    if (this.#connection !== connection || this.#state === "closed") return;
    const { clock, log } = this.#deps;
    this.#connection = undefined;
    const problem = connection.reason;
    if (this.#state === "ready" && clock.monotonic() - this.#connectedAt >= STEADY_MS) this.#failures = 0;
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures++);
    this.#state = "down";
    this.#why = plain(why);
    this.#retryAt = clock.monotonic() + waitMs;
    for (const { stop } of this.#running) stop.abort(new ProblemError(problem ?? this.#unavailable()));
    void connection.close();
    log(`mcp ${this.name}: lost (${this.#why}); connected again in ${waitMs} ms`);
    this.#stopWaiting = clock.after(waitMs, () => {
      this.#state = "connecting";
      this.#first = this.#connect();
    });
  }

  /** What to do about it, where a person has to sign in. */
  #needsSignIn(error: unknown): string | undefined {
    if (!(error instanceof UnauthorizedError) || !this.#signIn?.personal) return undefined;
    return `somebody has to sign in: gimbal mcp login ${this.name}`;
  }

  #failure(error: unknown, signal: AbortSignal): Error {
    if (signal.aborted && signal.reason instanceof ProblemError) return signal.reason;
    if (signal.aborted) return new ProblemError({ kind: "cancelled", message: "The call was cancelled by its caller." });
    if (error instanceof ProblemError || error instanceof ProtocolError) return error;
    const signIn = this.#needsSignIn(error);
    if (signIn !== undefined)
      return new ProblemError({
        kind: "upstream_rejected",
        code: "sign_in_needed",
        message: `The server "${this.name}" refuses what it was shown: ${signIn}.`,
      });
    const connection = this.#connection;
    if (connection?.reason) return new ProblemError(connection.reason);
    if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout)
      return new ProblemError(this.#tooSlow(this.options.timeoutMs));
    // Its session is over: the next call needs another.
    if (error instanceof SdkHttpError && connection && SESSION_OVER.has(error.status ?? 0)) this.#lost(connection, "its session ended");
    return new ProblemError(
      { ...this.#unavailable(), message: `The server "${this.name}" did not answer: ${whyOf(error)}.` },
      { cause: error },
    );
  }

  #unavailable(): Problem {
    const retryAfterMs = Math.max(FIRST_WAIT_MS, Math.ceil(this.#retryAt - this.#deps.clock.monotonic()));
    return { kind: "upstream_unavailable", message: `The server "${this.name}" cannot be used now: ${this.#why}.`, retryAfterMs };
  }

  #tooSlow(timeoutMs: number): Problem {
    return { kind: "upstream_timeout", message: `The server "${this.name}" did not answer within ${timeoutMs} ms.` };
  }
}

/** What an authorization server says in its own words may repeat what it was sent; its code does not. */
function whyOf(error: unknown): string {
  return error instanceof OAuthError ? `its authorization server refused with ${plain(error.code)}` : plain(error);
}

/** Our own clock says when it is too late; the official client's is only there to clean up. */
const TIMEOUT_SLACK_MS = 5000;
const SESSION_OVER: ReadonlySet<number> = new Set([400, 404]);
