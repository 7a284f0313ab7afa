import {
  amend,
  ProblemError,
  problemFrom,
  requestToGoOn,
  type Alias,
  type Call,
  type Capabilities,
  type Item,
  type MessageItem,
  type Problem,
  type StopReason,
  type Target,
} from "../canon/index.ts";
import { DEFAULT_CONTINUATIONS } from "../routing/attempt-options.ts";
import { classOf } from "../routing/retry.ts";
import { attemptOnce } from "./attempt-once.ts";
import type { Exchange } from "./exchange.ts";
import { anchorOf, type GoingOn } from "./joint.ts";
import { callOf, pause, type GatewayDeps, type Run } from "./run.ts";
import { saidIn, type Said } from "./said.ts";
import { ContinuedWriter, type Break } from "./stitch.ts";
import { toldFrames } from "./told.ts";
import { CHARACTERS_PER_TOKEN } from "./estimate.ts";
import { usageOfCall } from "./usage.ts";

/** Characters of a JSON Schema that the request to go on repeats. */
const SCHEMA_CHARACTERS = 20_000;

/** How often, and after how many milliseconds at most, a call that shared a broken stream looks whether it may go on. */
const LOOKS = 40;
const LOOK_MS = 500;

/**
 * One broken stream may have many followers. They are asked for like repeats, so that no provider gets them all at once; those for whom
 * there is no room yet wait. False: it never came, or the call was stopped.
 */
export async function turnToGoOn(deps: GatewayDeps, run: Run): Promise<boolean> {
  for (let look = 0; look < LOOKS && !run.stopped; look++) {
    if (deps.retries.mayHedge()) return true;
    await pause(deps, run, deps.randomness.number() * LOOK_MS);
  }
  return false;
}

/**
 * A stream broke after something was said: the same target is asked to go on, then the others that may be. Its client sees one answer.
 * @throws ProblemError when it cannot be gone on with, or nobody could
 */
export async function goOn(deps: GatewayDeps, run: Run, broke: Problem): Promise<void> {
  const alias = run.plan?.alias;
  if (!alias || alias.continue === "never" || !run.stream) throw new ProblemError(broke);
  const targets = targetsOf(run, alias);
  const limit = alias.maxContinuations ?? DEFAULT_CONTINUATIONS;
  let problem = broke;
  /** What each failed with when it was asked to go on. */
  const failures: Problem[][] = targets.map(() => []);
  let place = 0;
  let made = 0;
  let refused = 0;
  while (made < limit && refused < targets.length) {
    const failure = classOf(problem);
    if (failure === "give up") break;
    // The one that broke is asked once more, unless it said that it will not do better; then one after the other.
    if (made + refused > 0 || failure === "move on") place = (place + 1) % targets.length;
    const before = failures[place] ?? [];
    if (!(await mayAskAgain(deps, run, targets[place], before))) break;
    const target = targets[place];
    const said = await saidSoFar(deps, run);
    if (run.stopped) throw new ProblemError(run.stopped);
    if (!target || !said) break;
    if (run.forwarded && run.report?.stop !== undefined && run.exchange) return complete(run, run.exchange, said, run.report.stop);
    const attempts = run.attempts.length;
    const failed = await ask(deps, run, target, said, targets.length > 1);
    if (!failed) return;
    if (run.stopped) throw new ProblemError(run.stopped);
    problem = failed;
    before.push(failed);
    if (run.attempts.length > attempts) {
      made++;
      refused = 0;
    } else refused++;
  }
  throw new ProblemError(problem);
}

/** A target that failed to go on before is asked again after a wait, as repeats are. */
async function mayAskAgain(deps: GatewayDeps, run: Run, target: Target | undefined, failures: readonly Problem[]): Promise<boolean> {
  const problem = failures.at(-1);
  if (!problem) return true;
  const repeats = failures.length;
  const anotherKey = deps.health.anotherKey(target?.provider ?? "");
  const step = deps.retries.next(problem, { repeats: repeats - 1, retries: repeats, another: false, anotherKey, keyChanges: 0 });
  if (step.do !== "repeat") return false;
  await pause(deps, run, step.waitMs);
  return true;
}

/** The one that broke first, then whoever else may go on: those that failed this call already come last. */
function targetsOf(run: Run, { continue: whom }: Alias): readonly Target[] {
  const all = (run.plan?.steps ?? []).map(({ target }) => target);
  const own = all.filter(({ provider, model }) => provider === run.target?.provider && model === run.target.model);
  const others = all.filter((target) => !own.includes(target) && (whom === "always" || target.model === run.target?.model));
  const tried = new Set(run.attempts.map(({ target }) => target));
  const isNew = ({ provider, model }: Target): boolean => !tried.has(`${provider}/${model}`);
  return [...own.slice(0, 1), ...others.filter(isNew), ...others.filter((target) => !isNew(target))];
}

async function ask(deps: GatewayDeps, run: Run, target: Target, said: Said, another: boolean): Promise<Problem | undefined> {
  try {
    const capabilities = run.snapshot.providers.get(target.provider)?.capabilities(target.model) ?? {};
    return await attemptOnce(deps, run, target, another, gapOf(run, said, capabilities));
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return problemFrom(error);
  }
}

function gapOf(run: Run, said: Said, capabilities: Capabilities): Break {
  const call = callOf(run);
  const how = howToGoOn(call, said, capabilities);
  const used = usageOfCall(run.attempts);
  return {
    said,
    how,
    used: run.attempts.some(({ usage }) => usage) ? used : undefined,
    json: isJson(call) && how !== "anew",
    call: continued(call, said, how),
  };
}

/** Upstream said how its answer ended, and only its last frame is missing: there is nothing to ask. */
function complete(run: Run, exchange: Exchange, said: Said, stop: StopReason): void {
  const used = run.attempts.some(({ usage }) => usage) ? usageOfCall(run.attempts) : undefined;
  const writer = new ContinuedWriter(exchange, { said, how: "anew", used, json: false, call: callOf(run) });
  const report = run.report;
  writer.complete(stop);
  run.reply = {
    state: "done",
    data: () => true,
    end: () => undefined,
    report: () => report ?? writer.report(),
    answer: () => writer.fold.answer(),
  };
  run.live.flush();
  writer.finish();
}

/** What the client was told, or undefined where it cannot be gone on from. */
async function saidSoFar(deps: GatewayDeps, run: Run): Promise<Said | undefined> {
  const frames = await toldFrames(deps, run.live);
  if (!frames || (callOf(run).sampling.n ?? 1) !== 1) return undefined;
  const said = saidIn(frames, run.request.dialect, run.target?.provider);
  return said.isWords ? said : undefined;
}

function howToGoOn(call: Call, said: Said, capabilities: Capabilities): GoingOn {
  if (said.text.trim() === "") return "anew";
  // Whoever is to think first cannot be in the middle of its answer.
  return capabilities.prefill === true && !thinks(call) ? "prefill" : "turn";
}

function thinks({ reasoning }: Call): boolean {
  if (!reasoning || reasoning.mode === "disabled" || reasoning.effort === "none") return false;
  return reasoning.mode !== undefined || reasoning.effort !== undefined || reasoning.budgetTokens !== undefined;
}

/** The call that asks for the rest. */
function continued(call: Call, said: Said, how: GoingOn): Call {
  if (how === "anew") return call;
  const partial = how === "prefill" ? withPrefill(call.items, said.text.trimEnd()) : [...call.items, message("assistant", said.text)];
  const items = how === "prefill" ? partial : [...partial, message("user", requestToGoOn(anchorOf(said.text), formOf(call)))];
  const { maxOutputTokens: room, output: { verbosity } = {} } = call;
  const left = room === undefined ? undefined : Math.max(1, room - Math.ceil(said.text.length / CHARACTERS_PER_TOKEN));
  return amend(call, {
    items,
    ...(left !== undefined && { maxOutputTokens: left }),
    // The rest of a JSON text is no JSON text: whoever is held to one could only begin anew.
    ...(isJson(call) && { output: verbosity === undefined ? undefined : { verbosity } }),
  });
}

/** A client may have begun the answer itself; then that goes on. */
function withPrefill(items: readonly Item[], text: string): readonly Item[] {
  const last = items.at(-1);
  if (last?.type !== "message" || last.role !== "assistant") return [...items, message("assistant", text)];
  const { raw: _raw, envelope: _envelope, ...bare } = last;
  return [...items.slice(0, -1), { ...bare, parts: [...last.parts, { type: "text", text }] }];
}

function message(role: "assistant" | "user", text: string): MessageItem {
  return { type: "message", role, parts: [{ type: "text", text }] };
}

function isJson({ output }: Call): boolean {
  return output?.format?.type === "json_object" || output?.format?.type === "json_schema";
}

function formOf(call: Call): string {
  const format = call.output?.format;
  if (!format || format.type === "text") return "";
  const schema = format.type === "json_schema" ? JSON.stringify(format.schema) : "";
  const fits = schema !== "" && schema.length <= SCHEMA_CHARACTERS ? ` that fits this JSON Schema: ${schema}` : "";
  return `Both pieces together must be one JSON text${fits}, without anything around it.`;
}
