import type { ContentPolicy, LineageRecord } from "../canon/index.ts";
import { ANSWER, WANTS, type Remnant, type RemnantHead } from "../ledger/aside/index.ts";
import { subjectsOf } from "../ledger/budgets/index.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";

/** What only those know who made the call's prompt or let it pass: each a hash or an id. Set on the run by whoever knows. */
export type LineageParts = Pick<LineageRecord, "template" | "redactions" | "chunks" | "approvals">;

/** Headers that a language may need to read a body; none of them holds a secret. */
const NEEDED_TO_READ = /version|beta/;
const NOTHING = "{}";

/** Is what goes in and comes out to be recorded? One look for calls that nobody wants recorded. */
function recordsLineage(run: Run): boolean {
  return (run.snapshot.aliases.get(run.model)?.lineage ?? run.snapshot.lineage) === true;
}

/**
 * Hands what is left of a call that is over to whoever records it: where its words come from, and its words themselves where a policy says
 * so. Nobody waits for that.
 */
export function setAside(deps: GatewayDeps, run: Run): void {
  const { aside } = deps;
  // A call that asked nobody has nothing to be traced; one without a caller belongs to nobody.
  if (!aside || !run.target || !run.caller || run.request.shadow || operationOf(run) !== "generate") return;
  const policy = run.snapshot.content && policyFor(run.snapshot.content, run);
  const stored = policy !== undefined && (policy.share >= 1 || deps.randomness.number() < policy.share) ? policy : undefined;
  const wants = (recordsLineage(run) ? WANTS.lineage : 0) | wantsOf(stored);
  if (wants === 0) return;
  try {
    aside.add(remnantOf(run, run.caller.id, wants, stored ? aside.numberOf(stored) : 0));
  } catch (error) {
    deps.report(error, run.live.id);
  }
}

function wantsOf(policy: ContentPolicy | undefined): number {
  if (!policy) return 0;
  return (policy.what.includes("prompt") ? WANTS.prompt : 0) | (policy.what.includes("answer") ? WANTS.answer : 0);
}

function remnantOf(run: Run, callerId: string, wants: number, policy: number): Remnant {
  const { live, previousId, recalled, problem, request, document } = run;
  const needsCall = run.call !== undefined && (previousId !== undefined || run.call.items !== run.ownItems);
  const [answerForm, answer] = problem ? NO_ANSWER : answerOf(run);
  const head: RemnantHead = [
    wants,
    live.id,
    callerId,
    live.startedAt,
    request.dialect.id,
    operationOf(run),
    doorOf(run),
    needsCall ? "call" : "body",
    answerForm,
    run.forwarded ? (run.target?.provider ?? null) : null,
    (problem ? undefined : (run.promisedId ?? live.answerId ?? run.report?.id)) ?? null,
    previousId ?? null,
    (recalled?.status === "hit" ? recalled.origin : undefined) ?? null,
    run.lineage ? JSON.stringify(run.lineage) : null,
    policy,
  ];
  return { text: needsCall ? saidOf(run) : (document?.text ?? NOTHING), answer, policy, head };
}

const NO_ANSWER: readonly [number, Remnant["answer"]] = [ANSWER.none, []];

/** What the client was told. Of an answer longer than the memory of its call the beginning is gone: it has none then. */
function answerOf({ live }: Run): typeof NO_ANSWER {
  const { first, frames, whole } = live.told();
  if (whole !== undefined) return [ANSWER.whole, [whole]];
  return frames.length === 0 || first !== 1 ? NO_ANSWER : [ANSWER.frames, frames];
}

/** Most names come again with every call. */
const needed = new Map<string, boolean>();
const MOST_NAMES = 1000;

function isNeeded(name: string): boolean {
  const known = needed.get(name);
  if (known !== undefined) return known;
  const matches = NEEDED_TO_READ.test(name);
  if (needed.size < MOST_NAMES) needed.set(name, matches);
  return matches;
}

function doorOf({ request }: Run): string | null {
  const { headers, params } = request;
  let wanted: Record<string, string> | undefined;
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && isNeeded(name)) (wanted ??= {})[name] = value;
  }
  if (Object.keys(params).length > 0) return JSON.stringify({ headers: wanted ?? {}, params });
  return wanted ? JSON.stringify({ headers: wanted }) : null;
}

/** The canonical call, where its body alone does not say all of it. */
function saidOf({ call }: Run): string {
  if (!call) return NOTHING;
  const { operation, instructions, items, tools, toolChoice, parallelToolCalls, output, reasoning, sampling, maxOutputTokens, endUser } =
    call;
  return JSON.stringify({
    operation,
    instructions,
    items,
    tools,
    toolChoice,
    parallelToolCalls,
    output,
    reasoning,
    sampling,
    maxOutputTokens,
    endUser,
  });
}

function policyFor(policies: readonly ContentPolicy[], run: Run): ContentPolicy | undefined {
  const { caller, model, wishes } = run;
  if (!caller || policies.length === 0) return undefined;
  const { metadata, session } = wishes;
  const named = (name: string): string | undefined => {
    const member = metadata?.[name];
    return member === undefined || typeof member === "object" ? undefined : String(member);
  };
  const subject = { caller, model, session, agent: named("agent"), turn: named("turn") };
  return policies.find(
    (policy) =>
      subjectsOf(policy.match, subject).length > 0 &&
      Object.entries(policy.metadata ?? {}).every(([name, pattern]) => fits(pattern, named(name))),
  );
}

function fits(pattern: string, text: string | undefined): boolean {
  if (text === undefined) return false;
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : pattern === text;
}
