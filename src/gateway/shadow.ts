import {
  amend,
  textOf,
  type Alias,
  type Answer,
  type Caller,
  type JsonObject,
  type Problem,
  type Shadow,
  type ShadowRecord,
} from "../canon/index.ts";
import { fractionOf } from "../routing/release.ts";
import type { LiveCall } from "./live.ts";
import { likeness } from "./likeness.ts";
import { passedOn } from "./rate.ts";
import type { CallRequest } from "./request.ts";
import { callOf, operationOf, type Run } from "./run.ts";
import type { Switches } from "./switches.ts";
import { codecOf, taskOf, taskOperation } from "./task.ts";

/** Caller of every copy: no key, no team and no budget pays for it, and nothing that is kept for a caller is kept for it. */
export const SHADOW_CALLER = "shadow";

/** What a copied call carries through the pipeline. */
export interface ShadowOf {
  readonly caller: Caller;
  /** Where it goes: one target, tried once. */
  readonly alias: Alias;
  /** Id of the call that was copied, and the model as its caller named it. */
  readonly of: string;
  readonly model: string;
  readonly original: ShadowRecord["original"];
  /** What the original answered; undefined when it failed. */
  readonly said: string | undefined;
}

interface RunningShadow {
  readonly live: LiveCall;
  /** Of the call that was copied: whoever switches these off means the copy too. */
  readonly caller: Caller;
  readonly model: string;
}

const CLOSED: Problem = { kind: "cancelled", message: "The gateway is stopping, and nobody waits for this copy." };
/** Prefix of metadata that says where a call may go: it holds for the copy too. */
const REQUIRES = "requires.";

/**
 * Copies answered calls to another target, through the one pipeline, to compare what it says. A copy begins when its original is over, so
 * that no caller ever waits for one; where too many run, none is made.
 */
export class Shadows {
  readonly #open: (request: CallRequest) => LiveCall;
  readonly #running = new Set<RunningShadow>();
  readonly #dropped = new Map<string, number>();
  #closed = false;

  constructor(open: (request: CallRequest) => LiveCall) {
    this.#open = open;
  }

  /** Is this call to be copied when it is over? Drawn by its id. */
  wanted(run: Run, shadow: Shadow): Shadow | undefined {
    if ((operationOf(run) !== "generate" && taskOperation(run) === undefined) || run.warmUp) return undefined;
    return fractionOf(`shadow\0${run.live.id}`) < shadow.share ? shadow : undefined;
  }

  /** Copies a call that is over, unless it was stopped. Never throws: what cannot be copied is left out. */
  send(run: Run, shadow: Shadow, original: Omit<ShadowRecord["original"], "target">): void {
    const { caller, target, model } = run;
    if (this.#closed || !caller || !target || run.stopped) return;
    if (this.count(model).running >= shadow.concurrency) return this.#drop(model);
    const request = copyOf(run, caller, shadow, { ...original, target: `${target.provider}/${target.model}` });
    if (!request) return this.#drop(model);
    const entry: RunningShadow = { live: this.#open(request), caller, model };
    this.#running.add(entry);
    void entry.live.whenSettled().then(() => this.#running.delete(entry));
  }

  /** Of one model, in this process: copies under way, and those left out since its start. */
  count(model: string): { readonly running: number; readonly dropped: number } {
    let running = 0;
    for (const entry of this.#running) if (entry.model === model) running++;
    return { running, dropped: this.#dropped.get(model) ?? 0 };
  }

  /** Stops copies of what an administrator has switched off. */
  review(switches: Switches): void {
    for (const { live, caller, model } of this.#running) {
      const problem = switches.stops(caller, model, undefined);
      if (problem) live.stop(problem);
    }
  }

  /** Stops all copies and makes no more: a stopping gateway does not wait for them. */
  close(): void {
    this.#closed = true;
    for (const { live } of this.#running) live.stop(CLOSED);
  }

  #drop(model: string): void {
    this.#dropped.set(model, (this.#dropped.get(model) ?? 0) + 1);
  }
}

/** How the answers compare, for the copy's row. */
export function shadowRecord(shadow: ShadowOf, answer: Answer | undefined): ShadowRecord {
  const { of, model, original, said } = shadow;
  if (said === undefined || !answer) return { of, model, original };
  const own = saidIn(answer);
  return { of, model, original, equal: own === said, similarity: likeness(own, said) };
}

/** The answer's texts and tool calls, one a line; how arguments are spaced makes no difference. */
export function saidIn({ items }: Answer): string {
  const lines = items.flatMap((item) => {
    if (item.type === "message") return [textOf(item.parts).trim()];
    return item.type === "tool_call" ? [`${item.name}(${compact(item.input)})`] : [];
  });
  return lines.join("\n");
}

function compact(input: string): string {
  try {
    return JSON.stringify(JSON.parse(input));
  } catch {
    return input;
  }
}

/** The same call for the other target; earlier turns already stand in it. Undefined where it cannot be said again. */
function copyOf(run: Run, caller: Caller, shadow: Shadow, original: ShadowRecord["original"]): CallRequest | undefined {
  const { request, plan } = run;
  const name = `${shadow.target.provider}/${shadow.target.model}`;
  if (!plan) return undefined;
  try {
    if (taskOperation(run) !== undefined) return taskCopy(run, caller, plan.alias, shadow, name, original);
    const { thread } = callOf(run);
    const copy = amend(callOf(run), {
      model: name,
      stream: run.stream,
      ...(run.keep && { store: false }),
      ...(run.background && { background: undefined }),
      ...(thread !== undefined && { thread: undefined }),
    });
    const { body } = request.dialect.encodeCall(copy, { provider: "gimbal", model: name, capabilities: {} }, () => {});
    const answer = run.problem ? undefined : run.reply?.answer();
    return {
      dialect: request.dialect,
      door: request.door,
      headers: passedOn(run, requirementsIn(run.wishes.metadata)),
      params: request.params,
      peer: request.peer,
      readBody: () => Promise.resolve(new TextEncoder().encode(body)),
      shadow: {
        caller: shadowCaller(caller),
        alias: { ...targetOnly(plan.alias), name, targets: [shadow.target] },
        of: run.live.id,
        model: run.model,
        original,
        said: answer && saidIn(answer),
      },
    };
  } catch {
    // A call that its own language cannot say again was forwarded unread.
    return undefined;
  }
}

/** The same task for the other target: what it costs and how long it takes is compared, not what it says. */
function taskCopy(
  run: Run,
  caller: Caller,
  alias: Alias,
  shadow: Shadow,
  name: string,
  original: ShadowRecord["original"],
): CallRequest | undefined {
  const { request } = run;
  const task = taskOf(run);
  // Files are not kept until the call is over.
  if (run.form) return undefined;
  const to = { provider: "gimbal", model: name, capabilities: {}, support: { dialects: [] } };
  const { body: text } = codecOf(request.dialect, task.operation).encode(task, to, () => {});
  const body = new TextEncoder().encode(text);
  return {
    dialect: request.dialect,
    door: request.door,
    headers: passedOn(run, requirementsIn(run.wishes.metadata)),
    params: { ...request.params, ...(request.dialect.modelInPath && { model: name }) },
    peer: request.peer,
    readBody: () => Promise.resolve(body),
    shadow: {
      caller: shadowCaller(caller),
      alias: { ...targetOnly(alias), name, targets: [shadow.target] },
      of: run.live.id,
      model: run.model,
      original,
      said: undefined,
    },
  };
}

/** What a caller's key forbids its calls, it forbids their copies. */
function shadowCaller({ scopes: { tier, requires } }: Caller): Caller {
  const scopes = { ...(tier !== undefined && { tier }), ...(requires && { requires }) };
  return { id: SHADOW_CALLER, scope: SHADOW_CALLER, name: SHADOW_CALLER, scopes, limits: [], anonymous: false };
}

function targetOnly({ timeoutMs, timeouts, requires }: Alias): Omit<Alias, "name" | "targets"> {
  return { strategy: "fallback", retries: 0, timeoutMs, continue: "never", ...(timeouts && { timeouts }), ...(requires && { requires }) };
}

function requirementsIn(metadata: JsonObject | undefined): JsonObject | undefined {
  const some = Object.entries(metadata ?? {}).filter(([name]) => name.startsWith(REQUIRES));
  return some.length > 0 ? Object.fromEntries(some) : undefined;
}
