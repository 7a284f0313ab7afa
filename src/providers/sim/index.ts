import {
  checkCall,
  isTask,
  ProblemError,
  problemFrom,
  type Answer,
  type AnswerContext,
  type Call,
  type Capabilities,
  type Capacity,
  type Clock,
  type Credential,
  type Dialect,
  type JsonObject,
  type Problem,
  type Provider,
  type Randomness,
  type UpstreamCall,
  type UpstreamHandle,
  type UpstreamSink,
} from "../../canon/index.ts";
import { eventStream, nearest, parseJson } from "../../kit/index.ts";
import { defined } from "../../models/index.ts";
import { inputTokens, replyTo } from "./behaviour.ts";
import { actsOnBody, strikeOf, struckBy, type Strike } from "./faults.ts";
import { modelsOf, type SimModel, type SimOptions } from "./options.ts";
import { Player } from "./play.ts";
import { headersOf, problemSteps, streamSteps, wholeMs, wholeSteps } from "./steps.ts";
import type { Step } from "./step.ts";
import { simSessions } from "./realtime.ts";
import { answerTask, simTasks } from "./tasks.ts";

export { simOptions, simOverlay, type SimOptions } from "./options.ts";

export interface SimDeps {
  readonly dialects: ReadonlyMap<string, Dialect>;
  readonly clock: Clock;
  readonly randomness: Randomness;
}

const CAPABILITIES: Capabilities = {
  reasoning: true,
  vision: true,
  files: true,
  audio: true,
  tools: true,
  structuredOutput: true,
  streamUsage: true,
  betas: ["*"],
  maxTokensField: "max_completion_tokens",
  instructionsRole: "developer",
  prefill: true,
  maxOutputTokens: 32_000,
};

/** A provider without a network: it reads calls and writes answers in every language there is, as a real upstream's bytes. */
export function createSimulator(id: string, options: SimOptions, deps: SimDeps): Provider {
  const models = modelsOf(options);
  const capabilities = new Map([...models].map(([name, model]) => [name, { ...CAPABILITIES, ...defined(model.capabilities) }]));
  return simulated(
    {
      id,
      dialects: [...deps.dialects.values()].flatMap((dialect) => (dialect.tasksOnly ? [] : [dialect.id])),
      tasks: simTasks(deps.dialects.values()),
      realtime: simSessions(deps, (model) => models.has(model)),
      capabilities: (model) => capabilities.get(model) ?? CAPABILITIES,
      modelFor: ({ model }) => models.get(model),
      names: () => models.keys(),
    },
    deps,
  );
}

/** A simulated provider as others see it, and what its models do with each call. */
export interface SimPart {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly credentials?: readonly Credential[] | undefined;
  readonly capacity?: Capacity | undefined;
  readonly tasks?: Provider["tasks"];
  readonly realtime?: Provider["realtime"] | undefined;
  capabilities(model: string): Capabilities;
  /** Asked once for each call, when it comes. Undefined: there is no such model. */
  modelFor(call: UpstreamCall): SimActor | undefined;
  names(): Iterable<string>;
}

/** A simulated model, as it may also be told by code. */
export type SimActor = SimModel & {
  /** Tokens in one event of a stream. Default: one where a speed is set. */
  readonly pieceTokens?: number;
  /** Decides which calls faults strike. Default: `seed`. */
  readonly faultSeed?: number;
};

/** A simulated provider whose behaviour may change from call to call. */
export function simulated(part: SimPart, deps: SimDeps): Provider {
  const calls = new Map<string, number>();
  return {
    id: part.id,
    dialects: part.dialects,
    ...(part.credentials && { credentials: part.credentials }),
    ...(part.capacity && { capacity: part.capacity }),
    ...(part.tasks && { tasks: part.tasks }),
    ...(part.realtime && { realtime: part.realtime }),
    capabilities: (model) => part.capabilities(model),
    open(upstream: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
      const number = calls.get(upstream.model) ?? 0;
      const model = part.modelFor(upstream);
      // Only names that exist are counted: callers can invent others without end.
      if (model) calls.set(upstream.model, number + 1);
      const run = new SimRun(part, model, deps, upstream, number);
      return new Player(run.steps()[Symbol.iterator](), sink, deps.clock);
    },
    models: () => Promise.resolve([...part.names()]),
    check: () => Promise.resolve({ ok: true, detail: `The simulator offers ${[...part.names()].length} models.` }),
    close: () => Promise.resolve(),
  };
}

/** One call of the simulator. */
class SimRun {
  readonly #part: SimPart;
  readonly #actor: SimActor | undefined;
  readonly #deps: SimDeps;
  readonly #upstream: UpstreamCall;
  readonly #number: number;

  constructor(part: SimPart, actor: SimActor | undefined, deps: SimDeps, upstream: UpstreamCall, number: number) {
    this.#part = part;
    this.#actor = actor;
    this.#deps = deps;
    this.#upstream = upstream;
    this.#number = number;
  }

  steps(): Iterable<Step> {
    const dialect = this.#deps.dialects.get(this.#upstream.dialect);
    if (!dialect)
      return [{ does: "break", problem: { kind: "internal", message: `The simulator does not speak "${this.#upstream.dialect}".` } }];
    const unique = this.#deps.randomness.id("");
    try {
      return this.#answer(dialect, unique);
    } catch (error) {
      // A fault of the request is reported as what it is: behind the simulator is no upstream that could have refused it.
      return [{ does: "break", problem: problemFrom(error) }];
    }
  }

  #answer(dialect: Dialect, unique: string): Iterable<Step> {
    const { operation, stream } = this.#upstream;
    const model = this.#model();
    const strike = strikeOf(model, model.faultSeed ?? model.seed, this.#number, this.#upstream.attempt);
    const early = strike && beforeAnswer(strike, dialect, unique);
    if (early) return early;
    if (isTask(operation)) return this.#task(dialect, model, unique, strike);
    const call = this.#call(dialect);
    if (operation === "count_tokens") return this.#count(dialect, call, unique);
    const answer = this.#reply(dialect, call, model, unique, strike?.fault.kind === "empty");
    const context: AnswerContext = { call, createdAt: answer.createdAt };
    const tokens = answer.usage.output;
    const spoilt = strike && actsOnBody(strike) ? strike : undefined;
    if (stream && operation === "generate") {
      const steps = streamSteps(
        dialect,
        model,
        answer,
        context,
        headersOf(dialect, (dialect.framing ?? eventStream).contentType, unique),
        spoilt !== undefined,
      );
      return spoilt ? struckBy(spoilt, steps, true, { tokens: writtenTokens(answer), bytes: 0 }) : steps;
    }
    const body = Buffer.from(JSON.stringify(dialect.encodeAnswer(answer, context)));
    const steps = wholeSteps(200, headersOf(dialect, "application/json", unique), body, wholeMs(model, tokens), tokens);
    return spoilt ? struckBy(spoilt, steps, false, { tokens, bytes: body.length }) : steps;
  }

  #task(dialect: Dialect, model: SimActor, unique: string, strike: Strike | undefined): Iterable<Step> {
    const { contentType, headers, body } = answerTask(dialect, this.#upstream, unique, this.#deps.clock.now());
    const steps = wholeSteps(200, headersOf(dialect, contentType, unique, headers), body, wholeMs(model, 0), 0);
    return strike && actsOnBody(strike) ? struckBy(strike, steps, false, { tokens: 0, bytes: body.length }) : steps;
  }

  #model(): SimActor {
    if (this.#actor) return this.#actor;
    const { model } = this.#upstream;
    const { id } = this.#part;
    const like = nearest(model, this.#part.names());
    throw new ProblemError({
      kind: "unknown_model",
      message: `There is no model "${id}/${model.slice(0, 200)}".${like ? ` Did you mean "${id}/${like}"?` : ""}`,
      param: "model",
    });
  }

  /** @throws ProblemError for whatever a careful upstream would refuse */
  #call(dialect: Dialect): Call {
    const { request, operation, model, stream } = this.#upstream;
    const body = parseJson(typeof request.body === "string" ? request.body : request.body.toString("utf8"));
    if (typeof body !== "object" || body === null || Array.isArray(body))
      throw new ProblemError({ kind: "invalid_request", message: "The body is not a JSON object." });
    const call = dialect.decodeCall(body as JsonObject, {
      operation,
      headers: request.headers,
      params: { model, ...(stream && { stream: "true" }) },
    });
    const problem = checkCall(call);
    if (problem) throw new ProblemError(problem);
    return call;
  }

  #count(dialect: Dialect, call: Call, unique: string): Iterable<Step> {
    if (!dialect.encodeCount) throw new ProblemError({ kind: "unsupported", message: `${dialect.title} has no token counts.` });
    const body = Buffer.from(JSON.stringify(dialect.encodeCount(inputTokens(call))));
    return wholeSteps(200, headersOf(dialect, "application/json", unique), body, 0, 0);
  }

  #reply(dialect: Dialect, call: Call, model: SimModel, unique: string, empty: boolean): Answer {
    const origin = { dialect: dialect.id, provider: this.#part.id, model: this.#upstream.model };
    const { items, stop, usage } = replyTo(call, model, origin, unique);
    return {
      id: dialect.newAnswerId?.(unique) ?? unique,
      model: this.#upstream.model,
      createdAt: Math.floor(this.#deps.clock.now() / 1000),
      items: empty ? [] : items,
      stop: empty ? "end" : stop,
      usage: empty ? { ...usage, output: 0, reasoning: 0 } : usage,
      // Not the dialect's: it would expect its own fields in `native` and replay those.
      origin: { dialect: "sim", provider: this.#part.id },
      native: {},
    };
  }
}

/** Faults that leave no answer at all. */
function beforeAnswer({ fault }: Strike, dialect: Dialect, unique: string): Iterable<Step> | undefined {
  const failed: Problem = { kind: "upstream_unavailable", code: "simulated", message: "The simulated server failed." };
  switch (fault.kind) {
    case "refuse":
      return [
        {
          does: "break",
          problem: { kind: "upstream_unavailable", code: "refused", message: "The simulated server refused the connection." },
        },
      ];
    case "rate-limit": {
      const problem: Problem = {
        kind: "rate_limited",
        message: "The simulated rate limit is reached.",
        retryAfterMs: fault.retryAfterSeconds * 1000,
      };
      return problemSteps(dialect, problem, unique, {
        status: 429,
        headers: { "retry-after": String(Math.ceil(fault.retryAfterSeconds)) },
      });
    }
    case "server-error":
      return problemSteps(dialect, failed, unique, { status: 500 });
    case "overloaded":
      return problemSteps(dialect, { kind: "overloaded", message: "The simulated server is overloaded." }, unique, {
        status: 503,
        headers: { "retry-after": String(Math.ceil(fault.retryAfterSeconds)) },
      });
    case "out-of-credit":
      return problemSteps(dialect, { kind: "budget_exhausted", message: "The simulated account is empty." }, unique, { status: 402 });
    default:
      return undefined;
  }
}

/** Tokens that a stream writes; a configured usage may claim others. */
function writtenTokens(answer: Answer): number {
  let characters = 0;
  for (const item of answer.items) {
    if (item.type === "message" || item.type === "reasoning")
      for (const part of item.parts) characters += "text" in part && part.text ? part.text.length : 0;
    else if (item.type === "tool_call") characters += item.input.length;
  }
  return Math.floor(characters / 4);
}
