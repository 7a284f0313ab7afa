import {
  ProblemError,
  TASKS,
  type Diagnostic,
  type Dialect,
  type Json,
  type JsonObject,
  type Provider,
  type Target,
  type Task,
  type TaskCodec,
  type TaskOperation,
  type TaskTarget,
  type UpstreamCall,
} from "../canon/index.ts";
import { partText, replaceMembers, replaceParts, boundaryOf, parseJson, type FormPart } from "../kit/index.ts";
import type { Addressed } from "./address.ts";
import type { GatewayDeps, Run } from "./run.ts";
import type { TaskReply } from "./task-reply.ts";
import { codecOf, doorContext, taskOf, taskOperation, type Form } from "./task.ts";
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
  const dialect = support?.dialects.includes(client.id) ? client : deps.dialects.get(support?.dialects[0] ?? "");
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
  const slices = slicesOf(task, support);
  const forward = dialect.id === client.id && run.slowReason === undefined && slices.length === 1;
  const wire = forward ? forwarded(run, dialect, codec, to) : written(run, codec, slices[0] ?? task, to, noted);
  const sliced =
    slices.length < 2
      ? undefined
      : new SlicedProvider({
          provider,
          dialect,
          codec,
          task,
          slices,
          encode: (slice) => codec.encode(slice, to, noted),
          clock: deps.clock,
          answerBytes: run.snapshot.limits.answerBytes,
          isKept: run.recalled !== undefined,
        });
  return {
    dialect,
    diagnostics,
    forward,
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

/** The client's own bytes but for the model's name and what the provider calls otherwise. */
function forwarded(run: Run, dialect: Dialect, codec: TaskCodec, to: TaskTarget): Wire {
  const { document, form } = run;
  if (!document) throw new ProblemError({ kind: "internal", message: "A call without a body was to be forwarded." });
  const { path, headers, replace } = codec.forward(document.value, doorContext(run), to);
  const fields = dialect.modelInPath ? replace : { model: to.model, ...replace };
  if (!form) return { path, headers, body: replaceMembers(document, fields) };
  return { path, ...inForm(form, headers, fields) };
}

function written(run: Run, codec: TaskCodec, task: Task, to: TaskTarget, note: (diagnostic: Diagnostic) => void): Wire {
  const { path, headers, body } = codec.encode(task, to, note);
  if (!run.form) return { path, headers, body };
  const fields = parseJson(body) as JsonObject;
  return { path, ...inForm(run.form, headers, fields) };
}

/** The form with some of its fields said otherwise; every other byte stays. */
function inForm(form: Form, headers: Wire["headers"], fields: Readonly<Record<string, Json | undefined>>): Omit<Wire, "path"> {
  const edits: { part: FormPart; text: string }[] = [];
  const added: { name: string; text: string }[] = [];
  for (const [name, text] of Object.entries(fields)) {
    if (typeof text !== "string") continue;
    const part = form.parts.find((one) => one.name === name);
    if (!part) added.push({ name, text });
    else if (part.fileName === undefined && partText(form.bytes, part) !== text) edits.push({ part, text });
  }
  const boundary = boundaryOf(form.contentType) ?? "";
  // What holds the boundary would end its part and begin another.
  if ([...edits, ...added].some(({ text }) => text.includes(`--${boundary}`)))
    throw new ProblemError({ kind: "invalid_request", message: "A field of the form would hold the form's own boundary." });
  const first = added
    .map(({ name, text }) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`)
    .join("");
  const body = Buffer.concat([Buffer.from(first), replaceParts(form.bytes, edits)]);
  return { headers: { ...headers, "content-type": form.contentType }, body };
}
