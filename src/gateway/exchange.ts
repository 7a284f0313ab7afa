import type { AnswerContext, Call, Clock, Dialect, Guard, Headers, Item, Limits, Provider, UpstreamCall } from "../canon/index.ts";
import { Attempt, type AttemptOptions } from "../routing/attempt.ts";
import type { Addressed } from "./address.ts";
import { carriedText } from "./carried.ts";
import { answerContext } from "./context.ts";
import type { LiveCall } from "./live.ts";
import { answerHeaders } from "./refuse.ts";
import { tapped } from "./recall.ts";
import { openReply, type Reply, type ReplyContext } from "./reply.ts";
import { callOf, type GatewayDeps, type Run } from "./run.ts";

/**
 * One request to a provider and its answer, begun when it is made: what the attempt asks and what the reply needs to know. One object
 * for both, with methods instead of functions of its own, because a busy gateway makes thousands a second.
 */
export class Exchange implements AttemptOptions, ReplyContext {
  readonly attempt: Attempt;
  readonly provider: Provider;
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
  readonly #run: Run;
  readonly #deps: GatewayDeps;

  constructor(deps: GatewayDeps, run: Run, provider: Provider, address: Addressed) {
    const { limits } = run.snapshot;
    this.provider = provider;
    this.dialect = address.dialect;
    this.call = address.call;
    this.clock = deps.clock;
    this.timeoutMs = run.plan?.alias.timeoutMs ?? limits.defaultTimeoutMs;
    this.betweenDataMs = limits.betweenDataMs;
    this.live = run.live;
    this.client = run.request.dialect;
    this.wantsStream = run.stream;
    this.forward = address.forward;
    this.withholdUsage = address.withholdUsage;
    this.keep = run.keep || run.shadow !== undefined || run.request.shadow !== undefined;
    this.guards = deps.guards;
    this.limits = limits;
    this.#run = run;
    this.#deps = deps;
    // The last of all: a provider may answer before it returns.
    this.attempt = new Attempt(this);
  }

  get upstream(): Dialect {
    return this.dialect;
  }

  read(_status: number, headers: Headers): Reply {
    const reply = openReply(this, headers);
    this.#run.reply = this.#run.recalled ? this.#tapped(reply, headers) : reply;
    return this.#run.reply;
  }
  #tapped(reply: Reply, headers: Headers): Reply {
    const from = { dialect: this.dialect.id, provider: this.provider.id, model: this.call.model, forward: this.forward };
    return tapped(this.#deps, this.#run, reply, from, headers);
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
    this.attempt.started();
  }
}
