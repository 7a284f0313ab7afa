import {
  ProblemError,
  TASKS,
  type Diagnostic,
  type Dialect,
  type JsonObject,
  type Provider,
  type Target,
  type Task,
  type TaskCodec,
  type TaskOperation,
  type TaskTarget,
  type UpstreamCall,
} from "../canon/index.ts";
import { replaceMembers, parseJson } from "../kit/index.ts";
import type { Addressed } from "./address.ts";
import type { GatewayDeps, Run } from "./run.ts";
import type { TaskReply } from "./task-reply.ts";
import { formOf, inForm } from "./task-form.ts";
import { codecOf, doorContext, taskOf, taskOperation } from "./task.ts";
import { languageOf } from "./task-limits.ts";
import { slicesOf } from "./task-merge.ts";
import { SlicedProvider } from "./task-slices.ts";

type Wire = Pick<UpstreamCall["request"], "path" | "headers" | "body">;

/**
 * A task made ready for one target. Its bytes pass where the provider takes the client's language and all of it at once; otherwise it is
 * written anew, in as many requests as the provider needs.
 *
 * @throws ProblemError unsupported, invalid_request
 */
export function addressedTask(
  deps: GatewayDeps,
  run: Run,
  operation: TaskOperation,
  provider: Provider,
  target: Target,
  credential: string | undefined,
): Addressed {
  const support = provider.tasks?.[operation];
  const client = run.request.dialect;
  const dialect = support && languageOf(deps, run, support);
  if (!support || !dialect)
    throw new ProblemError({
      kind: "unsupported",
      status: 400,
      message: `The provider "${provider.id}" takes no ${TASKS[operation].plural}.`,
    });
  const codec = codecOf(dialect, operation);
  const task = taskOf(run);
  const to: TaskTarget = { provider: provider.id, model: target.model, capabilities: provider.capabilities(target.model), support };
  const diagnostics: Diagnostic[] = [];
  const noted = (diagnostic: Diagnostic): void => {
    if (!diagnostics.some(({ field, action }) => field === diagnostic.field && action === diagnostic.action)) diagnostics.push(diagnostic);
  };
  const slices = slicesOf(task, support, codec.mostInputs?.(task, to));
  const passes = dialect.id === client.id && run.slowReason === undefined && slices.length === 1;
  const passed = passes ? forwarded(run, dialect, codec, to, noted) : undefined;
  const wire = passed ?? written(deps, run, dialect, codec, slices[0] ?? task, to, noted);
  const sliced =
    slices.length < 2
      ? undefined
      : new SlicedProvider({
          provider,
          dialect,
          codec,
          task,
          slices,
          encode: (slice) => written(deps, run, dialect, codec, slice, to, noted),
          clock: deps.clock,
          answerBytes: run.snapshot.limits.answerBytes,
          isKept: run.recalled !== undefined,
        });
  return {
    dialect,
    diagnostics,
    forward: passed !== undefined,
    withholdUsage: false,
    ...(sliced && { sliced }),
    task: replyOf(deps, run, task, codec, target.model, sliced),
    call: {
      dialect: dialect.id,
      operation,
      model: target.model,
      stream: run.stream,
      request: { method: "POST", ...wire },
      attempt: run.attempts.length + (run.race?.size ?? 0),
      ...(credential !== undefined && { credential }),
    },
  };
}

/** What is known of a task whose answer another call got, in that call's language. Undefined: it is none. */
export function playedTask(deps: GatewayDeps, run: Run, upstream: Dialect, model: string): TaskReply | undefined {
  const operation = taskOperation(run);
  return operation && replyOf(deps, run, taskOf(run), codecOf(upstream, operation), model);
}

function replyOf(deps: GatewayDeps, run: Run, task: Task, codec: TaskCodec, model: string, sliced?: SlicedProvider): TaskReply {
  return {
    task,
    codec,
    clientCodec: codecOf(run.request.dialect, task.operation),
    model,
    sliced,
    answer: () => ({ task, model, unique: deps.randomness.id(""), createdAt: Math.floor(run.live.startedAt / 1000) }),
  };
}

/** The client's own bytes but for the model's name and what the provider calls otherwise. Undefined: it must be written anew. */
function forwarded(run: Run, dialect: Dialect, codec: TaskCodec, to: TaskTarget, note: (diagnostic: Diagnostic) => void): Wire | undefined {
  const { document, form } = run;
  if (!document) throw new ProblemError({ kind: "internal", message: "A call without a body was to be forwarded." });
  const passed = codec.forward(document.value, doorContext(run), to, note);
  if (!passed) return undefined;
  const { path, headers, replace } = passed;
  const fields = dialect.modelInPath ? replace : { model: to.model, ...replace };
  if (!form) return { path, headers, body: replaceMembers(document, fields) };
  return { path, ...inForm(form, headers, fields) };
}

/** In the provider's language: as JSON, as the client's own form with other fields, or as a form of our own. */
function written(
  deps: GatewayDeps,
  run: Run,
  dialect: Dialect,
  codec: TaskCodec,
  task: Task,
  to: TaskTarget,
  note: (diagnostic: Diagnostic) => void,
): Wire {
  const { path, headers, body, files } = codec.encode(task, to, note);
  if (!files) return { path, headers, body };
  const fields = parseJson(body) as JsonObject;
  if (!run.form || dialect.id !== run.request.dialect.id) return { path, ...formOf(fields, files, headers, deps.randomness.id("form")) };
  const gone = Object.keys(task.native).filter((field) => fields[field] === undefined);
  return { path, ...inForm(run.form, headers, { ...fields, ...Object.fromEntries(gone.map((field) => [field, undefined])) }) };
}
