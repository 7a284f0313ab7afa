import { createHash } from "node:crypto";
import {
  NANODOLLARS_PER_DOLLAR,
  NO_USAGE,
  ProblemError,
  problemFrom,
  type Caller,
  type CounterSpend,
  type Headers,
  type LedgerRow,
  type Problem,
  type RateLimit,
  type Snapshot,
} from "../canon/index.ts";
import { countRequest } from "../gateway/allowance.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { canonicalJson } from "../kit/index.ts";
import { Hold, refusalProblem, reserve, type Subject } from "../ledger/budgets/index.ts";
import { LimitHold, limitWords } from "../ledger/limits/index.ts";
import { toolOptionsOf, type ServerOptions } from "./options.ts";

/** What rows, audit and limits know `/mcp` by, and the name of its surface in a key's scopes. */
export const SURFACE = "mcp";
const OVERLOAD_RETRY_MS = 1000;
/** How often kill switches are looked at while a call runs. */
const REVIEW_MS = 200;
/** Source: W3C Trace Context, section 3.2. */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

/** One call of one tool, as its caller asks for it. */
export interface ToolCall {
  readonly caller: Caller;
  readonly headers: Headers;
  /** As the caller named it. */
  readonly name: string;
  readonly server: string;
  readonly options: ServerOptions;
  /** As its server names it. */
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** What came of it. `problem`: it went wrong, and this is what it was. */
export interface ToolOutcome<T> {
  readonly result: T;
  /** The tool itself says that it failed. */
  readonly failed: boolean;
}

export function providerOf(server: string): string {
  return `mcp:${server}`;
}

/** May this caller use the surface at all? @throws ProblemError forbidden, overloaded, storage_unavailable, rate_limited */
export async function enterSurface(deps: GatewayDeps, caller: Caller): Promise<void> {
  assertSurface(caller);
  await countRequest(deps, caller);
}

/** @throws ProblemError forbidden */
export function assertSurface({ scopes, name }: Caller): void {
  if (scopes.surfaces && !scopes.surfaces.includes(SURFACE))
    throw new ProblemError({ kind: "forbidden", message: `The key "${name}" may not use the MCP surface.` });
}

/** Calls of tools: each admitted as calls of models are, and each leaving one row, one note and its lineage. */
export class ToolCalls {
  readonly #deps: GatewayDeps;
  readonly #most: () => number;
  #rules = new WeakMap<Snapshot, Map<string, readonly RateLimit[]>>();
  #running = 0;

  /** `most`: that may run at once. */
  constructor(deps: GatewayDeps, most: () => number) {
    this.#deps = deps;
    this.#most = most;
  }

  get running(): number {
    return this.#running;
  }

  /** @throws ProblemError, and whatever `work` throws */
  async run<T>(call: ToolCall, signal: AbortSignal, work: (signal: AbortSignal) => Promise<ToolOutcome<T>>): Promise<T> {
    const { clock, randomness } = this.#deps;
    const open = new OpenToolCall(this.#deps, call, randomness.id("call_"), clock.now(), clock.monotonic());
    const stop = new AbortController();
    const leave = (): void => stop.abort(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    this.#running++;
    let over = (): void => {};
    try {
      await this.#admit(open);
      over = this.#review(call, stop);
      const outcome = await work(AbortSignal.any([signal, stop.signal]));
      await open.settle(outcome.failed ? FAILED : undefined, outcome.result);
      return outcome.result;
    } catch (error) {
      await open.settle(problemOf(error), undefined);
      throw error;
    } finally {
      this.#running--;
      over();
      signal.removeEventListener("abort", leave);
    }
  }

  async #admit(open: OpenToolCall): Promise<void> {
    const { call } = open;
    const { caller, tool, server, name: model } = call;
    const deps = this.#deps;
    if (this.#running > this.#most())
      throw new ProblemError({ kind: "overloaded", message: "Too many calls of tools are running.", retryAfterMs: OVERLOAD_RETRY_MS });
    const failure = deps.ledger.failure();
    if (failure !== undefined)
      throw new ProblemError({
        kind: "storage_unavailable",
        message: `Calls cannot be recorded: ${failure}`,
        retryAfterMs: OVERLOAD_RETRY_MS,
      });
    const killed = deps.switches.stops(caller, call.name, { provider: providerOf(server), model: tool });
    if (killed) throw new ProblemError(killed);
    const subject: Subject = { caller, model, session: undefined, agent: undefined, turn: undefined };
    const rules = this.#rulesOf(call);
    const early = deps.allowances.limits.covering(rules, subject, "early").filter(({ measure }) => measure === "concurrency");
    const covers = [
      ...early,
      ...deps.allowances.limits.covering(rules, subject, "late"),
      ...deps.allowances.limits.covering(rules, { ...subject, provider: providerOf(server) }, "attempt"),
    ];
    const taken = await deps.allowances.limits.take(covers, 0);
    if (!(taken instanceof LimitHold))
      throw new ProblemError({
        kind: "rate_limited",
        message: limitWords(taken, caller.name),
        code: "rate_limit_exceeded",
        retryAfterMs: taken.retryAfterMs,
      });
    open.limits = taken;
    const budgets = deps.allowances.coverage.of(deps.snapshot().budgets ?? NO_BUDGETS, subject);
    if (budgets.length > 0) {
      const reserved = await reserve(budgets, { nanodollars: open.price, tokens: 0 }, clockNow(deps), deps.clock.monotonic());
      if (!(reserved instanceof Hold)) throw new ProblemError(refusalProblem(reserved, clockNow(deps)));
      open.budgets = reserved;
    }
    open.begin();
  }

  /** The configured limits, and the tool's own. Made once for a version of the configuration, because counters are found by it. */
  #rulesOf({ server, tool, options, name: model }: ToolCall): readonly RateLimit[] {
    const snapshot = this.#deps.snapshot();
    let ofTools = this.#rules.get(snapshot);
    if (!ofTools) this.#rules.set(snapshot, (ofTools = new Map()));
    const known = ofTools.get(model);
    if (known) return known;
    const { requests, concurrency, per } = toolOptionsOf(options, tool);
    const own: RateLimit[] =
      requests === undefined && concurrency === undefined
        ? []
        : [{ id: `tool ${server}/${tool}`, match: { model }, requests, concurrency, per }];
    const rules = [...snapshot.callerLimits, ...own];
    ofTools.set(model, rules);
    return rules;
  }

  /** A kill switch stops calls that run. */
  #review({ caller, name, server, tool }: ToolCall, stop: AbortController): () => void {
    const { clock, switches } = this.#deps;
    let cancel = (): void => {};
    const look = (): void => {
      const killed = switches.stops(caller, name, { provider: providerOf(server), model: tool });
      if (killed) stop.abort(new ProblemError(killed));
      else cancel = clock.after(REVIEW_MS, look);
    };
    cancel = clock.after(REVIEW_MS, look);
    return () => cancel();
  }
}

const NO_BUDGETS: NonNullable<Snapshot["budgets"]> = [];
/** The tool answered, and its answer says that it failed: that is its caller's affair. */
const FAILED: Problem = { kind: "upstream_rejected", message: "The tool said that it failed." };

class OpenToolCall {
  readonly call: ToolCall;
  readonly target: string;
  /** In nanodollars. */
  readonly price: number;
  limits: LimitHold | undefined;
  budgets: Hold | undefined;
  readonly #deps: GatewayDeps;
  readonly #id: string;
  readonly #startedAt: number;
  readonly #began: number;
  #readyMs: number | undefined;

  constructor(deps: GatewayDeps, call: ToolCall, id: string, startedAt: number, began: number) {
    this.#deps = deps;
    this.call = call;
    this.#id = id;
    this.#startedAt = startedAt;
    this.#began = began;
    this.target = `${providerOf(call.server)}/${call.tool}`;
    this.price = Math.round((toolOptionsOf(call.options, call.tool).priceUsd ?? 0) * NANODOLLARS_PER_DOLLAR);
  }

  begin(): void {
    const { ledger, node } = this.#deps;
    this.#readyMs = this.#elapsed();
    const { caller } = this.call;
    ledger.open({
      callId: this.#id,
      startedAt: this.#startedAt,
      callerId: caller.id,
      model: this.call.name,
      dialect: SURFACE,
      inputEstimate: 0,
      node,
      ...(this.budgets && { holds: this.budgets.held() }),
    });
  }

  /** One row, one note, and where it came from. @throws ProblemError storage_unavailable */
  async settle(problem: Problem | undefined, result: unknown): Promise<void> {
    const { ledger, lineage, snapshot, telemetry, node, note } = this.#deps;
    const { caller, headers, name } = this.call;
    const row = this.#row(problem);
    this.limits?.settle({ inputTokens: 0, outputTokens: 0 });
    const spends: readonly CounterSpend[] = this.budgets?.settle({ nanodollars: row.costNanodollars ?? 0, tokens: 0 }) ?? [];
    const kept = spends.length > 0 ? ledger.settle(row, spends, node) : ledger.settle(row);
    kept.catch((error: unknown) => this.#deps.report(error, this.#id));
    telemetry?.called(row, headers["traceparent"]);
    const given = hashOf(this.call.arguments);
    const answer = result === undefined ? undefined : hashOf(result);
    if (snapshot().lineage && this.#readyMs !== undefined) {
      const tool = { id: this.#id, name, arguments: given, ...(answer !== undefined && { result: answer }) };
      const record = { callId: this.#id, callerId: caller.id, at: this.#startedAt, prompt: given, tools: [], calls: [tool], documents: [] };
      const links = [["in", given] as const, ...(answer === undefined ? [] : [["out", answer] as const])];
      lineage.keep(record, links).catch((error: unknown) => this.#deps.report(error, this.#id));
    }
    await note?.({
      action: "tool.call",
      subject: `tool:${this.call.server}/${this.call.tool}`,
      actor: caller.anonymous ? "anonymous" : `key:${caller.id}`,
      outcome: outcomeOf(problem, this.#readyMs !== undefined),
      details: {
        call: this.#id,
        arguments: given,
        ...(answer !== undefined && { result: answer }),
        ...(problem && { problem: problem.kind }),
      },
    });
  }

  #row(problem: Problem | undefined): LedgerRow {
    const { caller, headers, name } = this.call;
    const { book, snapshot } = this.#deps;
    const began = this.#readyMs;
    const totalMs = this.#elapsed();
    const asked = began !== undefined;
    const costNanodollars = asked ? this.price : 0;
    return {
      callId: this.#id,
      state: problem ? (problem.kind === "cancelled" ? "cancelled" : "failed") : "done",
      startedAt: this.#startedAt,
      callerId: caller.id,
      callerName: caller.name,
      team: caller.team,
      project: caller.project,
      dialect: SURFACE,
      operation: "tool_call",
      model: name,
      target: asked ? this.target : undefined,
      stream: false,
      fastPath: false,
      usage: asked ? { ...NO_USAGE, media: { tool_calls: 1 } } : NO_USAGE,
      costNanodollars,
      priceVersion: book.version,
      timings: { readyMs: began ?? totalMs, totalMs },
      attempts: asked ? [{ target: this.target, startedMs: began, endedMs: totalMs, problem: problem?.kind }] : [],
      problem: problem?.kind,
      problemMessage: problem?.message,
      configVersion: snapshot().version,
      traceId: TRACEPARENT.exec(headers["traceparent"] ?? "")?.[1],
    };
  }

  #elapsed(): number {
    return this.#deps.clock.monotonic() - this.#began;
  }
}

/** By hash only: what was said is in no row and no note. */
function hashOf(value: unknown): string {
  const text = canonicalJson(JSON.parse(JSON.stringify(value ?? null)));
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

function outcomeOf(problem: Problem | undefined, asked: boolean): "done" | "refused" | "failed" {
  if (!problem) return "done";
  return asked ? "failed" : "refused";
}

/** What the server itself refuses is no fault of the gateway. */
function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "number" ? { kind: "upstream_rejected", message: `The server refused it with ${code}.` } : problemFrom(error);
}

function clockNow({ clock }: GatewayDeps): number {
  return clock.now();
}
