import type { Dialect, Task, TaskSupport, Target } from "../canon/index.ts";
import { textOfDocument } from "../dialects/shared-rerank.ts";
import { taskOf, taskOperation } from "./task.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Vocabularies differ: a count may be this much too high before an input is kept from a model. */
const COUNT_SLACK = 0.9;
const UTF8_PER_TOKEN = 3;

/** What of a task is more than a target takes, in words that follow its name; undefined: nothing is, or nobody knows. */
export function excess(deps: GatewayDeps, run: Run, support: TaskSupport, target: Pick<Target, "provider" | "model">): string | undefined {
  if (taskOperation(run) === undefined) return undefined;
  const { maxFileBytes } = support;
  const file = maxFileBytes === undefined ? undefined : run.form?.files.find(({ bytes }) => bytes.length > maxFileBytes);
  if (file) return `takes files of ${maxFileBytes} bytes, and "${file.name.slice(0, 80)}" has ${file.bytes.length}`;
  const unsaid = lacking(deps, run, support, target);
  if (unsaid !== undefined) return unsaid;
  const most = support.maxInputTokens ?? deps.book.facts(target.provider, target.model)?.contextTokens;
  // Shorter than the limit in characters is hardly ever longer in tokens: nearly every call is settled here, undecoded.
  if (most === undefined || (run.document?.text.length ?? 0) <= most) return undefined;
  return overlong(deps, taskOf(run), most, target.model);
}

/** The language in which a provider is asked; undefined: none that this gateway knows. */
export function languageOf(deps: GatewayDeps, run: Run, { dialects }: TaskSupport): Dialect | undefined {
  const client = run.request.dialect;
  return dialects.includes(client.id) ? client : deps.dialects.get(dialects[0] ?? "");
}

function lacking(
  deps: GatewayDeps,
  run: Run,
  support: TaskSupport,
  { provider, model }: Pick<Target, "provider" | "model">,
): string | undefined {
  const operation = taskOperation(run);
  const dialect = languageOf(deps, run, support);
  const codec = operation && dialect?.tasks?.[operation];
  const own = dialect?.id === run.request.dialect.id;
  if (!codec?.lacks || (own && !hasOwnWords(support))) return undefined;
  const capabilities = run.snapshot.providers.get(provider)?.capabilities(model) ?? {};
  return codec.lacks(taskOf(run), { provider, model, capabilities, support });
}

function hasOwnWords({ renames, sizes, sources }: TaskSupport): boolean {
  return renames !== undefined || sizes !== undefined || sources !== undefined;
}

function overlong(deps: GatewayDeps, task: Task, most: number, model: string): string | undefined {
  if (task.operation !== "embed" && task.operation !== "rerank") return undefined;
  // Whoever is to cut it need not be told.
  if (task.truncate !== undefined && task.truncate !== "none" && task.truncate !== false) return undefined;
  // Who ranks cuts what is too long, unless it is told not to.
  if (task.operation === "rerank" && task.truncate !== false) return undefined;
  const inputs = task.operation === "rerank" ? task.documents.map((document) => `${task.query}\n${textOfDocument(document)}`) : task.inputs;
  const what = task.operation === "rerank" ? "document" : "input";
  for (const [at, input] of inputs.entries()) {
    if (input.length <= most) continue;
    const tokens = typeof input === "string" ? deps.book.countTokens(input, model) : input.length;
    const counted = typeof input === "string" ? Math.ceil(tokens * COUNT_SLACK) : tokens;
    if (counted > most) return `takes ${most} tokens an input, and ${what} ${at} has ${typeof input === "string" ? "about " : ""}${tokens}`;
  }
  return undefined;
}

/** Tokens that an input may have, for packing requests: not too few. */
export function mostTokens(input: string | readonly number[]): number {
  return typeof input === "string" ? Math.ceil(Buffer.byteLength(input) / UTF8_PER_TOKEN) + 1 : input.length;
}
