import {
  mayUseModel,
  mayUseTool,
  problemFrom,
  ProblemError,
  problemStatus,
  type AttemptRecord,
  type Dialect,
  type Headers,
  type JsonObject,
  type Problem,
  type RealtimeHandle,
  type RealtimeLanguage,
  type RealtimeProvider,
  type Target,
} from "../canon/index.ts";
import { openJson, parseJson } from "../kit/index.ts";
import { priorityOf, type Permit } from "../routing/health/index.ts";
import { admit } from "./admit.ts";
import { allowAttempt, coverAttempt } from "./allowance.ts";
import { LiveCall } from "./live.ts";
import { Flow, REALTIME_LIMITS } from "./realtime-flow.ts";
import { SessionProgress } from "./realtime-progress.ts";
import { watchStanding } from "./realtime-standing.ts";
import { SessionUsage } from "./realtime-usage.ts";
import { plan } from "./plan.ts";
import type { CallRequest } from "./request.ts";
import { newRun, stop, type GatewayDeps, type Run } from "./run.ts";
import { settle } from "./settle.ts";

/** The client's end of a session. */
export interface SessionClient {
  send(text: string): void;
  close(code: number, reason: string): void;
  /** Bytes accepted by `send` that have not left yet. */
  readonly buffered: number;
}

export interface SessionRequest {
  readonly dialect: Dialect;
  readonly language: RealtimeLanguage;
  readonly model: string;
  readonly headers: Headers;
  readonly params: Readonly<Record<string, string>>;
  readonly peer: string;
}

const LEFT: Problem = { kind: "cancelled", message: "The client left." };
/** Source: RFC 6455, section 7.4.1. */
const NORMAL = 1000;
const POLICY_VIOLATION = 1008;
const TOO_BIG = 1009;
const FAILED = 1011;
const REASON_CHARACTERS = 100;
/** Statuses from here on are not the client's doing. */
const SERVER_FAULTS = 500;
/** Status of a connection that became a socket. */
const SWITCHED = 101;

/**
 * A session over a socket is one call that lasts: admitted as any other, with one row at its end. What passes is counted both ways. Its
 * budgets have room for one more answer at any time; when they no longer do, it ends.
 */
export class RealtimeSession {
  readonly #deps: GatewayDeps;
  readonly #request: SessionRequest;
  readonly #client: SessionClient;
  readonly #run: Run;
  readonly #flow: Flow;
  readonly #usage = new SessionUsage();
  /** What the client said before the provider's end stood. */
  #early: string[] = [];
  #earlyCharacters = 0;
  #upstream: RealtimeHandle | undefined;
  #target: Target | undefined;
  #permit: Permit | undefined;
  #openedMs = 0;
  #isOpen = false;
  /** Targets that opened no session. */
  #failed = 0;
  /** Steps under way that may still take something from limits and budgets. */
  #taking = 0;
  #over = false;
  readonly #progress: SessionProgress;
  #stopStanding = (): void => {};
  /** Ends what is waited for before a session stands. */
  #giveUp: (() => void) | undefined;

  constructor(deps: GatewayDeps, request: SessionRequest, client: SessionClient) {
    this.#deps = deps;
    this.#request = request;
    this.#client = client;
    const snapshot = deps.snapshot();
    const live = new LiveCall({ id: deps.randomness.id("call_"), clock: deps.clock, journalBytes: snapshot.limits.journalBytes });
    live.configVersion = snapshot.version;
    live.unread = true;
    this.#run = newRun(live, callOf(request), snapshot);
    this.#run.forwarded = true;
    live.wire({
      wantMore() {},
      abandoned() {},
      stop: (problem) => this.end(problem),
      review: () => {
        const { caller, model, target } = this.#run;
        const problem = deps.switches.stops(caller, model, target);
        if (problem) this.end(problem);
      },
    });
    deps.live.add(live);
    this.#flow = new Flow(deps.clock, (problem) => this.end(problem));
    this.#progress = new SessionProgress(deps, this.#run, this.#usage);
    this.#begin().catch((error: unknown) => {
      if (!(error instanceof ProblemError)) deps.report(error, live.id);
      this.end(problemFrom(error));
    });
  }

  /** One message of the client. */
  fromClient(text: string): void {
    if (this.#over) return;
    const problem = this.#flow.arrived(text.length, this.#upstream?.buffered ?? this.#earlyCharacters);
    if (problem) return this.end(problem);
    if (this.#isOpen && this.#upstream && this.#target) return this.#pass(text, this.#upstream, this.#target);
    this.#earlyCharacters += text.length;
    this.#early.push(text);
  }

  /** The client is gone: nothing more is paid for. */
  clientLeft(): void {
    this.end(undefined);
  }

  /** Once. @param problem undefined: it ended as it should */
  end(problem: Problem | undefined): void {
    if (this.#over) return;
    this.#over = true;
    const run = this.#run;
    this.#flow.stop();
    this.#progress.stop();
    this.#stopStanding();
    this.#upstream?.close();
    // One that never stood says nothing of its target.
    this.#permit?.leave(problem ?? (this.#isOpen ? undefined : LEFT), this.#usage.own.output);
    if (problem) {
      run.problem = problem;
      stop(run, problem);
      this.#client.send(this.#request.language.problem(problem, run.live.id));
    }
    this.#client.close(closeCode(problem), (problem?.message ?? "").replace(/[^\x20-\x7e]/g, "?").slice(0, REASON_CHARACTERS));
    this.#book(problem, true);
    this.#early = [];
    run.live.end();
    this.#giveUp?.();
    if (this.#taking === 0) settle(this.#deps, run);
  }

  /** What a step takes while the session ends is given back only by a settlement that comes after it. */
  async #take<T>(step: () => T | Promise<T>): Promise<T> {
    this.#taking++;
    try {
      return await step();
    } finally {
      this.#taking--;
      if (this.#over && this.#taking === 0) settle(this.#deps, this.#run);
    }
  }

  /** The verbs of any call up to its attempts; then the first target that opens a session. */
  async #begin(): Promise<void> {
    const [deps, run] = [this.#deps, this.#run];
    await this.#take(() => admit(deps, run));
    if (this.#over) return;
    this.#stopStanding = watchStanding(deps, run, (problem) => this.end(problem));
    // What passes here is not read as a conversation, so nobody could hold it against a policy.
    if (deps.guards.length > 0)
      throw new ProblemError({ kind: "policy_denied", message: "Policies are in force that cannot look into realtime sessions." });
    plan(deps, run);
    let failure: Problem | undefined;
    for (const { target } of run.plan?.steps ?? []) {
      failure = await this.#open(target);
      if (this.#over || !failure) return;
    }
    throw new ProblemError(failure ?? { kind: "unsupported", message: `"${run.model}" takes no realtime sessions.` });
  }

  /** One try at one target. Undefined: the session stands. */
  async #open(target: Target): Promise<Problem | undefined> {
    const [deps, run] = [this.#deps, this.#run];
    const provider = run.snapshot.providers.get(target.provider);
    const realtime = provider?.realtime;
    if (!realtime?.dialects.includes(run.request.dialect.id))
      return { kind: "unsupported", message: `${target.provider}/${target.model} holds no sessions in ${run.request.dialect.title}.` };
    const off = deps.switches.blocked(target.provider, target.model);
    if (off !== undefined) return { kind: "upstream_unavailable", message: `${target.provider}/${target.model} is ${off}.` };
    const short = await this.#take(() => allowAttempt(deps, run, target, 0));
    if (short || this.#over) return short;
    const entered = deps.health.enter(target, priorityOf(run.request.headers["x-gimbal-priority"], run.caller?.scopes.priority));
    if (entered.state === "waiting") this.#giveUp = () => entered.cancel();
    const permit = entered.state === "waiting" ? await entered.entered : entered;
    this.#giveUp = undefined;
    if (permit.state === "refused") return permit.problem;
    if (this.#over) {
      permit.leave(LEFT);
      return undefined;
    }
    this.#permit = permit;
    this.#target = target;
    this.#openedMs = run.live.elapsedMs();
    run.target = { provider: target.provider, model: target.model };
    const failed = await this.#dial(realtime, target, permit);
    if (failed && !this.#over) {
      permit.leave(failed);
      this.#permit = undefined;
      this.#book(failed, true);
      this.#failed++;
      this.#target = undefined;
    }
    return failed;
  }

  #dial(realtime: RealtimeProvider, target: Target, permit: Permit): Promise<Problem | undefined> {
    const { language, dialect, params } = this.#request;
    return new Promise((resolve) => {
      let stands = false;
      const handle = realtime.open(
        {
          dialect: dialect.id,
          model: target.model,
          path: language.address(target.model, params),
          ...(permit.credential !== undefined && { credential: permit.credential }),
          maxMessageBytes: REALTIME_LIMITS.messageBytes,
        },
        {
          onOpen: () => {
            stands = true;
            permit.started();
            this.#stands(handle, target);
            resolve(undefined);
          },
          onMessage: (text) => this.#fromProvider(text, handle),
          onClose: (problem) => {
            if (stands) this.end(problem);
            else resolve(problem ?? { kind: "upstream_broken", message: "The provider closed the session before it stood." });
          },
        },
      );
      this.#upstream ??= this.#over ? undefined : handle;
      if (this.#over) handle.close();
    });
  }

  #stands(handle: RealtimeHandle, target: Target): void {
    if (this.#over) return handle.close();
    this.#upstream = handle;
    this.#isOpen = true;
    const early = this.#early;
    this.#early = [];
    for (const text of early) if (!this.#over) this.#pass(text, handle, target);
  }

  #fromProvider(text: string, handle: RealtimeHandle): void {
    if (this.#over) return;
    this.#flow.answered();
    const { live } = this.#run;
    live.firstOutputMs ??= live.elapsedMs();
    this.#client.send(text);
    this.#flow.relieve(this.#client, handle);
    const message = objectIn(text);
    if (!message) return;
    const word = this.#request.language.server(message);
    if (!this.#usage.hear(word)) return;
    this.#book(undefined, false);
    this.#progress.changed();
    this.#cover(this.#usage.open);
  }

  /** Room for one more answer, beside everything used so far and the others that are still to be paid for. */
  #cover(others: number): void {
    const { allowance } = this.#run;
    if (!allowance?.budgets) return;
    const heard = (problem: Problem | undefined): void => {
      if (problem) this.end(problem);
    };
    const outcome = coverAttempt(this.#deps, this.#run, allowance, others);
    if (!(outcome instanceof Promise)) return heard(outcome);
    this.#take(() => outcome).then(heard, (error: unknown) => this.end(problemFrom(error)));
  }

  #pass(text: string, upstream: RealtimeHandle, target: Target): void {
    try {
      const { jsonDepth } = this.#run.snapshot.limits;
      const opened = openJson(Buffer.from(text), { depth: jsonDepth });
      if (!opened.ok) throw new ProblemError({ kind: "invalid_request", message: opened.message });
      const word = this.#request.language.client(opened.document.value, target.model);
      this.#mayOffer(word.tools);
      if (word.transcriber !== undefined) this.#mayTranscribe(word.transcriber, target);
      upstream.send(word.instead ? JSON.stringify(word.instead) : text);
      this.#usage.said(text.length, word.asks);
      // Room for one answer is there already.
      if (word.asks && this.#usage.open > 1) this.#cover(this.#usage.open - 1);
    } catch (error) {
      const problem = problemFrom(error);
      if (problem.kind === "internal") this.#deps.report(error, this.#run.live.id);
      // A client that reads no refusals is one that floods.
      if (this.#client.buffered > REALTIME_LIMITS.bufferBytes) return this.end(problem);
      this.#client.send(this.#request.language.problem(problem, this.#run.live.id));
    }
  }

  /** @throws ProblemError forbidden */
  #mayOffer(tools: readonly string[]): void {
    const { caller } = this.#run;
    const denied = caller && tools.find((name) => !mayUseTool(caller.scopes, name));
    if (denied !== undefined)
      throw new ProblemError({ kind: "forbidden", message: `The key may not offer the tool "${denied}".`, param: "tools" });
  }

  /** A second model that the session would be charged for. @throws ProblemError forbidden */
  #mayTranscribe(model: string, { provider }: Target): void {
    const { caller } = this.#run;
    if (caller && !mayUseModel(caller.scopes, `${provider}/${model}`))
      throw new ProblemError({ kind: "forbidden", message: `The key may not use the model "${provider}/${model}".`, param: "model" });
    this.#usage.transcriber = model;
  }

  /** The lines of the row: one for the session's own model, one for whoever wrote down what was heard. */
  #book(problem: Problem | undefined, last: boolean): void {
    const run = this.#run;
    const target = this.#target;
    if (!target) return;
    const line = (model: string, usage: AttemptRecord["usage"]): AttemptRecord => ({
      target: `${target.provider}/${model}`,
      startedMs: this.#openedMs,
      endedMs: run.live.elapsedMs(),
      status: this.#isOpen ? SWITCHED : undefined,
      problem: problem?.kind,
      usage,
      costNanodollars: undefined,
      hedge: undefined,
      continues: undefined,
    });
    const lines = [line(target.model, this.#isOpen ? this.#usage.total(last) : undefined)];
    const { transcriber, heard } = this.#usage;
    if (transcriber !== undefined && heard) lines.push(line(transcriber, heard));
    run.attempts.splice(this.#failed, run.attempts.length, ...lines);
  }
}

/** What the pipeline must know of a session, in place of a body. */
function callOf({ dialect, language, model, headers, params, peer }: SessionRequest): CallRequest {
  return {
    dialect: { ...dialect, outline: () => ({ model, stream: true, keep: false, background: false }) },
    door: { method: "GET", path: language.paths[0] ?? "", does: { kind: "call", operation: "realtime" } },
    headers,
    params,
    peer,
    readBody: () => Promise.resolve(Buffer.from(JSON.stringify({ model }))),
  };
}

function objectIn(text: string): JsonObject | undefined {
  const parsed = parseJson(text);
  return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as JsonObject) : undefined;
}

function closeCode(problem: Problem | undefined): number {
  if (!problem) return NORMAL;
  if (problem.kind === "too_large") return TOO_BIG;
  return problemStatus(problem) < SERVER_FAULTS ? POLICY_VIOLATION : FAILED;
}
