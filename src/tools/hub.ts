import { UriTemplate } from "@modelcontextprotocol/server";
import { canonicalJson } from "../kit/index.ts";
import { ProblemError, type Caller, type Clock, type ToolPinStore } from "../canon/index.ts";
import { MemoryGrants, type GrantStore } from "./grants.ts";
import { plain } from "./names.ts";
import { firstUses, mayUse, NO_OFFERS, offersOf, reportLine, type Offer, type Offers, type ToolReport, type Withheld } from "./offers.ts";
import type { McpOptions, ServerOptions } from "./options.ts";
import { FIRST_USE, Pins } from "./pins.ts";
import { SignIn, type SignInOptions } from "./sign-in.ts";
import { Upstream, type UpstreamState } from "./upstream.ts";

/** Where authorization servers send people back. */
export const CALLBACK = "/mcp/callback";
/** Servers are given so long to say what they offer, when somebody asks for the first time. */
const FIRST_ASK_MS = 15_000;

export interface HubDeps {
  readonly clock: Clock;
  readonly pins: ToolPinStore;
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** One line for the operator. */
  readonly log: (line: string) => void;
  readonly report: (error: unknown) => void;
  /** Of letters and digits, not to be guessed. */
  readonly newSecret: () => string;
  /** What people granted. Undefined: nothing is kept beyond this process. */
  readonly grants: GrantStore | undefined;
}

export interface ServerReport {
  readonly server: string;
  readonly state: UpstreamState;
  /** Why it cannot be used. */
  readonly why?: string;
  readonly revision?: string;
  readonly tools: readonly { readonly tool: string; readonly name: string; readonly hash: string; readonly withheld?: Withheld }[];
  readonly prompts: number;
  readonly resources: number;
}

export type HubEvent = "tools" | "prompts" | "resources" | { readonly uri: string };

/** All upstream servers, and what they offer together. */
export class Hub {
  readonly pins: Pins;
  readonly #deps: HubDeps;
  readonly #listeners = new Set<(event: HubEvent) => void>();
  readonly #told = new Set<string>();
  #servers: ReadonlyMap<string, Upstream> = new Map();
  #configured: ReadonlyMap<string, string> = new Map();
  #offers: Offers = NO_OFFERS;
  #publicUrl: string | undefined;
  #pinned: Promise<void>;

  constructor(deps: HubDeps) {
    this.#deps = deps;
    this.pins = new Pins(deps.pins, () => this.#changed(), deps.report);
    this.#pinned = this.pins.refresh();
  }

  get offers(): Offers {
    return this.#offers;
  }

  /** Servers whose options stay go on; the others are ended, or begin. */
  configure({ servers, publicUrl }: McpOptions): void {
    this.#publicUrl = publicUrl;
    const next = new Map<string, Upstream>();
    const configured = new Map<string, string>();
    for (const [name, options] of Object.entries(servers)) {
      const words = wordsOf(options);
      const same = this.#configured.get(name) === words ? this.#servers.get(name) : undefined;
      configured.set(name, words);
      next.set(name, same ?? this.#open(name, options, this.#servers.get(name)));
    }
    for (const [name, upstream] of this.#servers) if (next.get(name) !== upstream) void upstream.close();
    this.#servers = next;
    this.#configured = configured;
    this.#changed();
  }

  /** Resolves when every server has said what it offers, or failed to, or took too long. */
  async whenTried(): Promise<void> {
    await this.#pinned;
    const { clock } = this.#deps;
    const late = new Promise<void>((resolve) => void clock.after(FIRST_ASK_MS, resolve));
    await Promise.race([late, Promise.all([...this.#servers.values()].map((upstream) => upstream.whenTried()))]);
    await this.#settling;
  }

  /** The resource's server, by its own list or by one of its templates. */
  resourceAt(caller: Caller, uri: string): Offer<unknown> | undefined {
    const listed = this.#offers.resources.get(uri);
    if (listed) return mayUse(caller, listed) ? listed : undefined;
    return this.#offers.templates.find((offer) => mayUse(caller, offer) && matchesTemplate(offer.value.uriTemplate, uri));
  }

  /** @throws ProblemError not_found */
  find(server: string): Upstream {
    const upstream = this.#servers.get(server);
    if (upstream) return upstream;
    const names = [...this.#servers.keys()].join(", ") || "none";
    throw new ProblemError({ kind: "not_found", message: `There is no MCP server "${plain(server)}"; there are: ${names}.` });
  }

  /** Would the caller see it, were it offered? */
  isVisible(caller: Caller, { server, name }: Pick<ToolReport, "server" | "name">): boolean {
    const upstream = this.#servers.get(server);
    return upstream !== undefined && mayUse(caller, { name, upstream });
  }

  list(): readonly ServerReport[] {
    return [...this.#servers.values()].map((upstream) => {
      const { name: server, state, why, revision, catalogue } = upstream;
      const tools = this.#offers.reports.filter((report) => report.server === server).map(({ server: _server, ...report }) => report);
      const counts = { prompts: catalogue.prompts.length, resources: catalogue.resources.length + catalogue.templates.length };
      return { server, state, ...(why !== "" && { why }), ...(revision !== undefined && { revision }), tools, ...counts };
    });
  }

  /**
   * What the tool says of itself now may be used from now on. `hash`: what whoever approves has read, so that a tool that changes
   * meanwhile is not approved with it. @throws ProblemError not_found, conflict
   */
  async approve(server: string, tool: string, author: string, hash?: string): Promise<ToolReport> {
    this.find(server);
    const report = this.#offers.reports.find((one) => one.server === server && one.tool === tool);
    if (!report) throw new ProblemError({ kind: "not_found", message: `The server "${server}" has no tool "${plain(tool)}" now.` });
    if (hash !== undefined && hash !== report.hash)
      throw new ProblemError({ kind: "conflict", message: `The tool "${plain(tool)}" has changed meanwhile; look at it again.` });
    await this.pins.pin({ server, tool, hash: report.hash, author, createdAt: this.#deps.clock.now() }, false);
    this.#changed();
    return this.#offers.reports.find((one) => one.server === server && one.tool === tool) ?? report;
  }

  /** A person came back from an authorization server. The server that they signed in at; undefined: nobody here sent them there. @throws ProblemError when they were refused */
  async signedIn(state: string, answer: URLSearchParams): Promise<string | undefined> {
    for (const upstream of this.#servers.values()) if (await upstream.signedIn(state, answer)) return upstream.name;
    return undefined;
  }

  listen(listener: (event: HubEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.pins.close();
    await Promise.all([...this.#servers.values()].map((upstream) => upstream.close()));
  }

  #settling: Promise<void> = Promise.resolve();

  #open(name: string, options: ServerOptions, before: Upstream | undefined): Upstream {
    const { clock, version, env, log } = this.#deps;
    return new Upstream(name, options, {
      clock,
      version,
      env,
      log,
      watched: before?.watched,
      onCatalogue: () => this.#changed(),
      onResource: (uri) => this.#tell({ uri }),
      openSignIn: (how) => this.#openSignIn(how),
    });
  }

  #openSignIn(how: Pick<SignInOptions, "server" | "url" | "oauth" | "fetch">): SignIn {
    const { clock, newSecret, grants } = this.#deps;
    const isPersonal = how.oauth.grant === "authorization_code";
    const callback = this.#publicUrl === undefined ? undefined : new URL(CALLBACK, this.#publicUrl).href;
    return new SignIn({
      ...how,
      clock,
      newState: newSecret,
      callback,
      grants: (isPersonal ? grants : undefined) ?? new MemoryGrants(),
    });
  }

  /** Makes the list of everything anew, and tells whoever listens what is another. */
  #changed(): void {
    const before = this.#offers;
    this.#offers = offersOf([...this.#servers.values()], this.pins);
    this.#settling = this.#settling.then(() => this.#trustFirst()).catch(this.#deps.report);
    for (const kind of ["tools", "prompts", "resources"] as const)
      if (fingerprint(before[kind]) !== fingerprint(this.#offers[kind])) this.#tell(kind);
    for (const report of this.#offers.reports) {
      const line = reportLine(report);
      const word = `${report.server}\n${report.tool}\n${report.hash}\n${report.withheld}`;
      const trusted = report.withheld === "new" && this.#servers.get(report.server)?.options.pin === FIRST_USE;
      if (line === undefined || trusted || this.#told.has(word)) continue;
      if (this.#told.size >= MOST_TOLD) this.#told.clear();
      this.#told.add(word);
      this.#deps.log(line);
    }
  }

  async #trustFirst(): Promise<void> {
    await this.#pinned;
    const fresh = offersOf([...this.#servers.values()], this.pins);
    const firsts = [...firstUses(fresh.reports, this.#servers)];
    const createdAt = this.#deps.clock.now();
    // Together: each alone would wait for the disk.
    await Promise.all(firsts.map(({ server, tool, hash }) => this.pins.pin({ server, tool, hash, author: FIRST_USE, createdAt }, true)));
    if (firsts.length > 0 || fresh.tools.size !== this.#offers.tools.size) this.#changed();
  }

  #tell(event: HubEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Lines that are remembered, so that each is written once. */
const MOST_TOLD = 10_000;

/** The options with their secrets, to tell whether they changed. Never printed. */
function wordsOf({ env, headers, oauth, ...options }: ServerOptions): string {
  const open = (secrets: ServerOptions["env"]): object =>
    Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [name, secret.reveal()]));
  const { clientSecret, privateKey, ...how } = oauth ?? {};
  const shown = oauth && { ...how, clientSecret: clientSecret?.reveal() ?? null, privateKey: privateKey?.reveal() ?? null };
  return canonicalJson(JSON.parse(JSON.stringify({ ...options, env: open(env), headers: open(headers), oauth: shown })));
}

function fingerprint(offers: ReadonlyMap<string, Offer<unknown>>): string {
  return JSON.stringify([...offers].map(([key, { value }]) => [key, value]));
}

function matchesTemplate(template: string, uri: string): boolean {
  try {
    return new UriTemplate(template).match(uri) !== null;
  } catch {
    return false;
  }
}
