import { isTask, type ContentPolicy, type LineageRecord, type Operation, type Task } from "../canon/index.ts";
import { mediaType } from "../kit/index.ts";
import { ANSWER, WANTS, type Remnant, type RemnantHead } from "../ledger/aside/index.ts";
import { subjectsOf } from "../ledger/budgets/index.ts";
import { hashedFile } from "../ledger/lineage/task.ts";
import { JSON_TYPE } from "./reply.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";
import { toldFrames } from "./told.ts";

/** What only those know who made the call's prompt or let it pass: each a hash or an id. Set on the run by whoever knows. */
export type LineageParts = Pick<LineageRecord, "template" | "redactions" | "chunks" | "approvals">;

/** Headers that a language may need to read a body; none of them holds a secret. */
const NEEDED_TO_READ = /version|beta/;
const CONTENT_TYPE = "content-type";
const NOTHING = "{}";
/** Bytes of an answer that are read back; of a longer one it is recorded that it is not. */
const MOST_ANSWER_BYTES = 8 * 1024 * 1024;

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
  if (!aside || !run.target || !run.caller || run.request.shadow || !isRecorded(operationOf(run))) return;
  const policy = run.snapshot.content && policyFor(run.snapshot.content, run);
  const stored = policy !== undefined && (policy.share >= 1 || deps.randomness.number() < policy.share) ? policy : undefined;
  const wants = (recordsLineage(run) ? WANTS.lineage : 0) | wantsOf(stored);
  if (wants === 0) return;
  try {
    hand(deps, run, aside, remnantOf(run, run.caller.id, wants, stored ? aside.numberOf(stored) : 0));
  } catch (error) {
    deps.report(error, run.live.id);
  }
}

/** Counted tokens say nothing of what became of a text. */
function isRecorded(operation: Operation): boolean {
  return operation === "generate" || isTask(operation);
}

/** Of a stream longer than the memory of its call the beginning is in the journal: it is read back before the call is recorded. */
function hand(deps: GatewayDeps, run: Run, aside: NonNullable<GatewayDeps["aside"]>, remnant: Remnant): void {
  const { live, problem } = run;
  if (problem || live.told().first === 1) return aside.add(remnant);
  const gather = async (): Promise<Remnant> => {
    const answer = await toldFrames(deps, live, MOST_ANSWER_BYTES);
    if (!answer) return remnant;
    const [wants, id, callerId, at, dialect, operation, door, form, , ...rest] = remnant.head;
    return { ...remnant, answer, head: [wants, id, callerId, at, dialect, operation, door, form, framesForm(operationOf(run)), ...rest] };
  };
  aside.addLater(gather, remnant);
}

function wantsOf(policy: ContentPolicy | undefined): number {
  if (!policy) return 0;
  return (policy.what.includes("prompt") ? WANTS.prompt : 0) | (policy.what.includes("answer") ? WANTS.answer : 0);
}

function remnantOf(run: Run, callerId: string, wants: number, policy: number): Remnant {
  const { live, previousId, recalled, problem, request, report } = run;
  const [form, text] = givenIn(run);
  const [answerForm, answer, answerType] = problem ? NO_ANSWER : answerOf(run);
  const head: RemnantHead = [
    wants,
    live.id,
    callerId,
    live.startedAt,
    request.dialect.id,
    operationOf(run),
    doorOf(run, form === "form"),
    form,
    answerForm,
    run.forwarded ? (run.target?.provider ?? null) : null,
    (problem ? undefined : (run.promisedId ?? live.answerId ?? report?.id)) ?? null,
    previousId ?? null,
    (recalled?.status === "hit" ? recalled.origin : undefined) ?? null,
    run.lineage ? JSON.stringify(run.lineage) : null,
    policy,
    answerType,
  ];
  return { text, answer, policy, head };
}

/** What the model was given, and how that is written. */
function givenIn(run: Run): readonly [form: RemnantHead[7], text: Remnant["text"]] {
  const { call, previousId, ownItems, task, ownTask, form, document } = run;
  if (task && task !== ownTask) return ["task", taskText(task)];
  if (form) return ["form", form.bytes];
  if (call && (previousId !== undefined || call.items !== ownItems)) return ["call", saidOf(run)];
  return ["body", document?.text ?? NOTHING];
}

/** A task that somebody changed on its way; its files by their hash. */
function taskText(task: Task): string {
  const { native: _native, ...said } = task;
  const files = {
    ...("images" in task && { images: task.images.map(hashedFile) }),
    ...("file" in task && { file: hashedFile(task.file) }),
  };
  return JSON.stringify({ ...said, ...files });
}

type ToldAnswer = readonly [form: number, bytes: Remnant["answer"], type: string | null];
const NO_ANSWER: ToldAnswer = [ANSWER.none, [], null];

/** What the client was told; of a longer answer only that there was one. */
function answerOf(run: Run): ToldAnswer {
  const { type = null, first, frames, whole } = run.live.told();
  if (whole !== undefined) {
    if (whole.length > MOST_ANSWER_BYTES) return [ANSWER.partial, [], type];
    const isJson = !isTask(operationOf(run)) || mediaType(type ?? "") === JSON_TYPE;
    return [isJson ? ANSWER.whole : ANSWER.plain, [whole], type];
  }
  if (first !== 1 || run.live.bytes > MOST_ANSWER_BYTES) return [ANSWER.partial, [], type];
  return frames.length === 0 ? NO_ANSWER : [framesForm(operationOf(run)), frames, type];
}

function framesForm(operation: Operation): number {
  return isTask(operation) ? ANSWER.plain : ANSWER.frames;
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

function doorOf({ request }: Run, isForm: boolean): string | null {
  const { headers, params } = request;
  let wanted: Record<string, string> | undefined;
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && (isNeeded(name) || (isForm && name === CONTENT_TYPE))) (wanted ??= {})[name] = value;
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
