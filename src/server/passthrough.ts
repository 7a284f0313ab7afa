import {
  mayUseModel,
  NANODOLLARS_PER_DOLLAR,
  NO_USAGE,
  ProblemError,
  problemFrom,
  problemStatus,
  type Caller,
  type Headers,
  type LedgerRow,
  type Problem,
  type Provider,
  type Snapshot,
  type UpstreamHandle,
  type Usage,
} from "../canon/index.ts";
import { KEY_PREFIX } from "../gateway/admission.ts";
import { LiveCall } from "../gateway/live.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { parseJson } from "../kit/index.ts";
import { Hold, refusalProblem, reserve } from "../ledger/budgets/index.ts";
import type { FrontOut, StreamedRequest } from "../wire/types.ts";
import { identifyAndCount } from "./calls.ts";
import { checkLength, PassingBody, passesPiecewise, wholeBody, type PassedBody } from "./passthrough-body.ts";
import { isNamed, isPlainPath, queryWithoutKeys } from "./passthrough-path.ts";
import { sendProblem } from "./respond.ts";

/** Where requests that are passed on stand. */
export const PASSTHROUGH = "/passthrough/";
/** Name of the surface in keys, and of the language in rows. */
const SURFACE = "passthrough";
/** What is looked at of an answer for what it used, in bytes; a larger one is passed on unseen. */
const READ_BYTES = 1024 * 1024;
/** What comes back of an answer's headers. */
const ANSWER_HEADERS = ["content-type", "content-disposition", "content-language", "etag", "last-modified", "retry-after", "cache-control"];

const NOTHING = Buffer.alloc(0);

type Rule = NonNullable<Snapshot["passthrough"]> extends ReadonlyMap<string, infer R> ? R : never;

interface Asked {
  readonly provider: Provider;
  readonly rule: Rule;
  /** With its query. */
  readonly target: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
}

/** Passes a request on to an endpoint that no language here models: admitted, limited and recorded as a call, its content unread. */
export function passThrough(deps: GatewayDeps, request: StreamedRequest, out: FrontOut): void {
  const live = new LiveCall({ id: deps.randomness.id("call_"), clock: deps.clock, journalBytes: 0 });
  live.unread = true;
  live.dialect = SURFACE;
  deps.live.add(live);
  const passage = new Passage(deps, request, out, live);
  live.wire(passage);
  out.onLeave(() => passage.stop({ kind: "cancelled", message: "The client left." }));
  void passage.run();
}

/** One request on its way through. */
class Passage {
  readonly #deps: GatewayDeps;
  readonly #request: StreamedRequest;
  readonly #out: FrontOut;
  readonly #live: LiveCall;
  readonly #snapshot: Snapshot;
  #caller: Caller | undefined;
  #asked: Asked | undefined;
  #hold: Hold | undefined;
  #handle: UpstreamHandle | undefined;
  #passing: PassingBody | undefined;
  #openedMs = 0;
  #firstMs: number | undefined;
  #status: number | undefined;
  #sentBytes = 0;
  #receivedBytes = 0;
  #seen: Buffer[] | undefined = [];
  #over = false;

  constructor(deps: GatewayDeps, request: StreamedRequest, out: FrontOut, live: LiveCall) {
    this.#deps = deps;
    this.#request = request;
    this.#out = out;
    this.#live = live;
    this.#snapshot = deps.snapshot();
  }

  async run(): Promise<void> {
    try {
      const caller = await this.#admit();
      const asked = (this.#asked = askedOf(this.#request, this.#snapshot, caller));
      this.#checkSwitches(caller, asked);
      await this.#reserve(caller, asked);
      this.#deps.ledger.open({ ...this.#about(caller), inputEstimate: 0, node: this.#deps.node, holds: this.#hold?.held() ?? [] });
      await this.#deps.note?.({
        action: "passthrough.request",
        subject: `provider:${asked.provider.id}`,
        actor: `key:${caller.id}`,
        details: { call: this.#live.id, method: asked.method, path: asked.target.split("?", 1)[0] ?? "" },
      });
      const given = this.#body(asked.rule);
      checkLength(given);
      if (passesPiecewise(this.#request, asked.provider)) this.#passing = new PassingBody(given);
      const body = this.#passing ? NOTHING : await wholeBody(given);
      this.#sentBytes += body.length;
      if (!this.#over) this.#open(asked, body);
    } catch (error) {
      if (!(error instanceof ProblemError)) this.#deps.report(error, this.#live.id);
      this.stop(problemFrom(error));
    }
  }

  /** Ends the request with a problem; once. */
  stop(problem: Problem): void {
    if (this.#over) return;
    this.#handle?.cancel();
    this.#passing?.stop();
    if (this.#status === undefined) sendProblem(this.#out, problem, this.#headers());
    else this.#out.cut();
    this.#settle(problem);
  }

  /** A switch may have been thrown. */
  review(): void {
    const { provider } = this.#asked ?? {};
    const target = provider && { provider: provider.id, model: SURFACE };
    const problem = this.#deps.switches.stops(this.#caller, target ? `${target.provider}/${SURFACE}` : "", target);
    if (problem) this.stop(problem);
  }

  wantMore(): void {
    this.#handle?.resume();
  }
  abandoned(): void {
    this.stop({ kind: "cancelled", message: "The client left." });
  }

  async #admit(): Promise<Caller> {
    const { live, ledger } = this.#deps;
    const caller = await identifyAndCount(this.#deps, this.#request);
    this.#caller = caller;
    this.#live.caller = caller;
    const { calls } = this.#snapshot.limits;
    if (live.running > calls) throw new ProblemError({ kind: "overloaded", message: `More than ${calls} calls are running.` });
    const failure = ledger.failure();
    if (failure !== undefined) throw new ProblemError({ kind: "storage_unavailable", message: `Calls cannot be recorded: ${failure}` });
    if (this.#deps.guards.length > 0)
      throw new ProblemError({ kind: "policy_denied", message: "Guards are in force, and what is passed on unread cannot be guarded." });
    return caller;
  }

  #checkSwitches(caller: Caller, { provider }: Asked): void {
    const { switches } = this.#deps;
    const refusal = switches.refusal(caller, `${provider.id}/${SURFACE}`);
    if (refusal) throw new ProblemError(refusal);
    const blocked = switches.blocked(provider.id, SURFACE);
    if (blocked !== undefined) throw new ProblemError({ kind: "killed", message: `The provider "${provider.id}" is ${blocked}.` });
  }

  async #reserve(caller: Caller, { provider, rule }: Asked): Promise<void> {
    const { allowances, clock } = this.#deps;
    const subject = {
      caller,
      model: `${provider.id}/${SURFACE}`,
      session: undefined,
      agent: undefined,
      turn: undefined,
      provider: provider.id,
    };
    const covers = allowances.coverage.of(this.#snapshot.budgets ?? [], subject);
    if (covers.length === 0) return;
    if (rule.perCallUsd === undefined) {
      const message = `What this costs is not known, and a budget covers it: set passthrough.${provider.id}.perCallUsd.`;
      throw new ProblemError({ kind: "budget_exhausted", code: "price_unknown", message });
    }
    const reserved = await reserve(covers, { nanodollars: nanodollars(rule.perCallUsd), tokens: 0 }, clock.now(), clock.monotonic());
    if (!(reserved instanceof Hold)) throw new ProblemError(refusalProblem(reserved, clock.now()));
    this.#hold = reserved;
  }

  #body({ requestBytes }: Rule): PassedBody {
    const { limits } = this.#snapshot;
    return {
      request: this.#request,
      maxBytes: requestBytes ?? limits.bodyBytes,
      limits,
      sent: (bytes) => (this.#sentBytes += bytes),
      failed: (problem) => this.stop(problem),
    };
  }

  #open({ provider, rule, target, method }: Asked, body: Buffer): void {
    this.#openedMs = this.#live.elapsedMs();
    const call = {
      dialect: provider.dialects[0] ?? "",
      operation: "generate",
      model: SURFACE,
      stream: false,
      attempt: 0,
      ...(this.#passing && { upload: this.#passing }),
      request: { method, path: target, headers: passedHeaders(this.#request.headers, rule.headers), body },
    } as const;
    this.#handle = provider.open(call, {
      onHead: (status, headers) => this.#head(status, headers),
      onData: (piece) => this.#data(piece),
      onEnd: () => this.#end(),
      onProblem: (problem) => this.stop(problem),
    });
  }

  #head(status: number, headers: Headers): void {
    if (this.#over) return;
    this.#status = status;
    this.#firstMs = this.#live.elapsedMs();
    const passed = ANSWER_HEADERS.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]] as const]));
    this.#out.head(status, { ...Object.fromEntries(passed), ...this.#headers() });
  }

  #data(piece: Buffer): boolean {
    if (this.#over) return true;
    this.#receivedBytes += piece.length;
    const most = this.#asked?.rule.answerBytes ?? this.#snapshot.limits.answerBytes;
    if (this.#receivedBytes > most) {
      this.stop({ kind: "upstream_broken", message: `The answer is larger than ${most} bytes.` });
      return true;
    }
    if (this.#receivedBytes > READ_BYTES) this.#seen = undefined;
    this.#seen?.push(piece);
    if (this.#out.write(piece)) return true;
    this.#out.onDrain(() => this.#handle?.resume());
    return false;
  }

  #end(): void {
    if (this.#over) return;
    this.#passing?.stop();
    this.#out.end();
    const refused = (this.#status ?? 0) >= 400;
    this.#settle(refused ? { kind: "upstream_rejected", message: `The provider answered ${this.#status}.` } : undefined);
  }

  #headers(): Record<string, string> {
    return { "x-gimbal-call-id": this.#live.id, ...(this.#asked && { "x-gimbal-target": `${this.#asked.provider.id}/${SURFACE}` }) };
  }

  #about(caller: Caller | undefined): Pick<LedgerRow, "callId" | "startedAt" | "callerId" | "model" | "dialect"> {
    const model = `${this.#asked?.provider.id ?? "?"}/${SURFACE}`;
    return { callId: this.#live.id, startedAt: this.#live.startedAt, callerId: caller?.id ?? "unknown", model, dialect: SURFACE };
  }

  #settle(problem: Problem | undefined): void {
    this.#over = true;
    const { ledger, node, live } = this.#deps;
    const row = this.#row(problem);
    const spends = this.#hold?.settle({ nanodollars: row.costNanodollars, tokens: row.usage.output + row.usage.inputUncached });
    this.#live.end();
    this.#deps.telemetry?.called(row, this.#request.headers["traceparent"]);
    ledger.settle(row, spends ?? [], node).then(
      () => this.#finished(live),
      (error: unknown) => {
        this.#deps.report(error, this.#live.id);
        this.#finished(live);
      },
    );
  }

  #finished(live: GatewayDeps["live"]): void {
    this.#live.markSettled();
    live.finish(this.#live);
  }

  #row(problem: Problem | undefined): LedgerRow {
    const asked = this.#asked;
    const caller = this.#caller;
    const totalMs = this.#live.elapsedMs();
    const opened = this.#handle !== undefined;
    const price = opened && this.#status !== undefined && this.#status < 400 ? asked?.rule.perCallUsd : 0;
    const read = this.#usage();
    const usage: Usage = { ...(read ?? NO_USAGE), ...(price !== undefined && { providerCost: nanodollars(price) }) };
    const target = `${asked?.provider.id ?? "?"}/${SURFACE}`;
    return {
      ...this.#about(caller),
      state: !problem ? "done" : problem.kind === "cancelled" ? "cancelled" : "failed",
      callerName: caller?.name ?? "unknown",
      team: caller?.team,
      project: caller?.project,
      operation: SURFACE,
      target: opened ? target : undefined,
      stream: false,
      fastPath: true,
      usage,
      costNanodollars: price === undefined ? undefined : nanodollars(price),
      priceVersion: this.#deps.book.version,
      timings: { readyMs: this.#openedMs, totalMs, firstOutputMs: this.#firstMs },
      attempts: opened
        ? [{ target, startedMs: this.#openedMs, endedMs: totalMs, status: this.#status, problem: problem?.kind, usage }]
        : [],
      problem: problem?.kind,
      problemMessage: problem?.message,
      configVersion: this.#snapshot.version,
      plan:
        opened && asked
          ? {
              method: asked.method,
              path: asked.target.split("?", 1)[0] ?? "",
              sentBytes: this.#sentBytes,
              receivedBytes: this.#receivedBytes,
            }
          : undefined,
    };
  }

  /** What the answer says that it used, where it says so in one of the provider's languages. */
  #usage(): Usage | undefined {
    if (!this.#seen || this.#seen.length === 0 || (this.#status ?? 500) >= 300) return undefined;
    const json = parseJson(Buffer.concat(this.#seen).toString("utf8"));
    if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
    for (const id of this.#asked?.provider.dialects ?? []) {
      const usage = readUsage(this.#deps, id, json as Readonly<Record<string, never>>);
      if (usage) return usage;
    }
    return undefined;
  }
}

function readUsage(deps: GatewayDeps, dialect: string, json: Readonly<Record<string, never>>): Usage | undefined {
  try {
    return deps.dialects.get(dialect)?.readAnswer(json).usage;
  } catch {
    // An answer of another shape: nothing is known of it.
    return undefined;
  }
}

function nanodollars(usd: number): number {
  return Math.round(usd * NANODOLLARS_PER_DOLLAR);
}

/** @throws ProblemError not_found, forbidden, invalid_request, unsupported */
function askedOf({ method, path, query }: StreamedRequest, { passthrough, providers }: Snapshot, caller: Caller): Asked {
  const rest = path.slice(PASSTHROUGH.length);
  const slash = rest.indexOf("/");
  const name = slash < 0 ? rest : rest.slice(0, slash);
  const below = slash < 0 ? "/" : rest.slice(slash);
  const rule = passthrough?.get(name);
  const provider = providers.get(name);
  if (!rule || !provider)
    throw new ProblemError({
      kind: "not_found",
      message: `Nothing of "${name.slice(0, 100)}" is passed on: \`passthrough\` in the configuration says what is.`,
    });
  checkScopes(caller, name);
  if (!isPlainPath(below))
    throw new ProblemError({
      kind: "invalid_request",
      message: "The path holds what two readers could take for two paths (`..`, `//`, or an encoded slash, dot or percent sign).",
    });
  if (!isNamed(below, rule.paths)) throw new ProblemError({ kind: "forbidden", message: `passthrough.${name}.paths names no such path.` });
  const allowed = rule.methods.find((each) => each === method);
  if (!allowed)
    throw new ProblemError({ kind: "invalid_request", status: 405, message: `This is passed on for ${rule.methods.join(", ")} only.` });
  return { provider, rule, target: below + queryWithoutKeys(query, KEY_PREFIX), method: allowed };
}

/** What is not read cannot be held to a scope that looks into it. @throws ProblemError forbidden */
function checkScopes({ name, scopes }: Caller, provider: string): void {
  const forbidden = (why: string): ProblemError => new ProblemError({ kind: "forbidden", message: `The key "${name}" ${why}.` });
  if (scopes.surfaces && !scopes.surfaces.includes(SURFACE)) throw forbidden(`may not use the ${SURFACE} surface`);
  if (!mayUseModel(scopes, `${provider}/`))
    throw forbidden(`may not use all of "${provider}", and what is passed on unread could be any of it`);
  if (scopes.tools !== undefined || scopes.requires !== undefined || scopes.tier !== undefined)
    throw forbidden("is bound to tools, places or a tier, which cannot be seen in what is passed on unread");
}

function passedHeaders(headers: Headers, names: readonly string[]): Record<string, string> {
  const passed: Record<string, string> = { accept: headers["accept"] ?? "*/*" };
  for (const name of ["content-type", ...names.map((each) => each.toLowerCase())]) {
    const value = headers[name];
    if (value !== undefined && !value.includes(KEY_PREFIX)) passed[name] = value;
  }
  return passed;
}

/** Why a WebSocket is not passed on. */
export function passthroughUpgrade(): { readonly status: number; readonly headers: Record<string, string>; readonly body: string } {
  const problem: Problem = {
    kind: "unsupported",
    message: "WebSockets are not passed on; use the provider's sessions under /v1/realtime.",
  };
  const body = JSON.stringify({ error: { type: problem.kind, message: problem.message } });
  return { status: problemStatus(problem), headers: { "content-type": "application/json", ...problemHeaders(problem) }, body };
}
