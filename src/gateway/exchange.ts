import type {
  AnswerContext,
  Call,
  Clock,
  Diagnostic,
  Dialect,
  Guard,
  Headers,
  Item,
  Limits,
  Provider,
  Target,
  UpstreamCall,
} from "../canon/index.ts";
import { ProblemError } from "../canon/index.ts";
import { Attempt, type AttemptOptions } from "../routing/attempt.ts";
import type { Permit } from "../routing/health/index.ts";
import type { Addressed } from "./address.ts";
import { carriedText } from "./carried.ts";
import { answerContext } from "./context.ts";
import type { LiveCall } from "./live.ts";
import { SLOWER } from "./race.ts";
import { answerHeaders } from "./refuse.ts";
import { tapped } from "./recall-tap.ts";
import { openReply, type AnswerReport, type Reply, type ReplyContext } from "./reply.ts";
import { callOf, continues, type GatewayDeps, type Run } from "./run.ts";
import type { Break } from "./stitch.ts";
import type { TaskReply } from "./task-reply.ts";
import type { SlicedProvider } from "./task-slices.ts";

/**
 * One request to a provider and its answer, begun when it is made: what the attempt asks and what the reply needs to know. One object
 * for both, with methods instead of functions of its own, because a busy gateway makes thousands a second.
 */
export class Exchange implements AttemptOptions, ReplyContext {
  readonly attempt: Attempt;
  readonly provider: Provider;
  readonly target: Target;
  readonly dialect: Dialect;
  readonly call: UpstreamCall;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly betweenDataMs: number;
  readonly live: LiveCall;
  readonly client: Dialect;
  readonly wantsStream: boolean;
  readonly forward: boolean;
  readonly withholdUsage: boolean;
  readonly keep: boolean;
  readonly guards: readonly Guard[];
  readonly limits: Limits;
  readonly continues: boolean;
  readonly gap: Break | undefined;
  readonly task: TaskReply | undefined;
  readonly #sliced: SlicedProvider | undefined;
  /** What was lost or bent on the way to this provider. */
  readonly diagnostics: Diagnostic[];
  reply: Reply | undefined;
  readonly #run: Run;
  readonly #deps: GatewayDeps;
  readonly #permit: Pick<Permit, "started">;
  readonly #startedMs: number;
  #began = false;

  constructor(
    deps: GatewayDeps,
    run: Run,
    target: Target,
    provider: Provider,
    address: Addressed,
    permit: Pick<Permit, "started">,
    gap: Break | undefined,
  ) {
    const { limits } = run.snapshot;
    const alias = run.plan?.alias;
    const timeouts = alias?.timeouts;
    const timeoutMs = alias?.timeoutMs ?? limits.defaultTimeoutMs;
    this.provider = address.sliced ?? provider;
    this.task = address.task;
    this.#sliced = address.sliced;
    this.target = target;
    this.dialect = address.dialect;
    this.call = address.call;
    this.clock = deps.clock;
    this.timeoutMs = timeouts === undefined || !run.stream ? timeoutMs : (timeouts.firstOutputMs ?? timeoutMs);
    this.betweenDataMs = timeouts?.betweenMs ?? limits.betweenDataMs;
    this.live = run.live;
    this.client = run.request.dialect;
    this.wantsStream = run.stream;
    this.forward = address.forward;
    this.withholdUsage = address.withholdUsage;
    this.keep = run.keep || run.shadow !== undefined || run.request.shadow !== undefined;
    this.guards = deps.guards;
    this.limits = limits;
    this.continues = continues(run);
    this.gap = gap;
    this.diagnostics = address.diagnostics;
    this.#run = run;
    this.#deps = deps;
    this.#permit = permit;
    this.#startedMs = run.live.elapsedMs();
    // The last of all: a provider may answer before it returns.
    this.attempt = new Attempt(this);
  }

  get upstream(): Dialect {
    return this.dialect;
  }

  read(_status: number, headers: Headers): Reply {
    const run = this.#run;
    const reply = openReply(this, headers);
    this.reply = run.recalled ? this.#tapped(reply, headers) : reply;
    // Of two that race nobody's reply is the call's before one has won.
    if (!run.race) run.reply = this.reply;
    return this.reply;
  }
  #tapped(reply: Reply, headers: Headers): Reply {
    const from = { dialect: this.dialect.id, provider: this.provider.id, model: this.call.model, forward: this.forward };
    return tapped(this.#deps, this.#run, reply, from, headers);
  }
  /** What became known; of a task in pieces that failed, what those pieces used that did not. */
  report(): AnswerReport | undefined {
    const report = this.reply?.report();
    const spent = report?.usage ? undefined : this.#sliced?.spent;
    return spent ? { outputCharacters: 0, ...report, usage: spent } : report;
  }
  canonicalCall(): Call {
    return callOf(this.#run);
  }
  answerContext(): AnswerContext {
    return answerContext(this.#run);
  }
  shown(item: Item): Item {
    if (item.type !== "reasoning") return item;
    const carried = carriedText(this.#deps.seal, this.#run, callOf(this.#run), item);
    return carried === undefined ? item : { ...item, carried };
  }
  headers(): Record<string, string> {
    return answerHeaders(this.#run);
  }
  onOutput(): void {
    const run = this.#run;
    if (run.race && !run.race.claim(this)) throw new ProblemError(SLOWER);
    this.attempt.started();
    if (!this.call.stream || this.#began) return;
    this.#began = true;
    this.#permit.started();
    if (run.plan?.alias.hedge && !this.gap) this.#deps.hedges.began(this.target, run.live.elapsedMs() - this.#startedMs);
  }
}
