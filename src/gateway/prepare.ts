import { amend, checkCall, mayUseTool, offeredTools, ProblemError, type Call, type Caller } from "../canon/index.ts";
import { coverTurns } from "./allowance.ts";
import { callOf, type GatewayDeps, type Run } from "./run.ts";
import { guardsTasks } from "./task-guard.ts";
import { prepareTask, taskOperation } from "./task.ts";

/** Can the bytes not simply pass? */
export function mustPrepare(deps: GatewayDeps, run: Run): boolean {
  if (taskOperation(run) !== undefined) {
    if (deps.guards.some((guard) => guardsTasks(guard) && guard.readsContent)) run.slowReason ??= "a guard reads the content";
    return run.slowReason !== undefined;
  }
  if (run.caller?.scopes.tools) run.slowReason ??= "the key may use some tools only";
  if (deps.guards.some((guard) => guard.readsContent)) run.slowReason ??= "a guard reads the content";
  return run.slowReason !== undefined;
}

/** Everything that changes what is sent: earlier turns are put in front, the canonical form is checked, guards have their say. */
export async function prepare(deps: GatewayDeps, run: Run): Promise<void> {
  if (taskOperation(run) !== undefined) return prepareTask(deps, run);
  let call = callOf(run);
  if (call.previousId !== undefined) call = await deps.turns.expand(run, call);
  call = await deps.turns.resolve(run, call);
  if (run.background) call = amend(call, { background: undefined });
  for (const guard of deps.guards) {
    if (!guard.call || !run.caller) continue;
    const verdict = await guard.call(call, run.caller);
    if (verdict.verdict === "change") call = verdict.value;
    if (verdict.verdict === "deny") throw new ProblemError(verdict.problem);
    if (verdict.verdict === "ask") throw new ProblemError({ kind: "approval_needed", message: verdict.reason });
  }
  if (run.caller?.scopes.tools) assertTools(call, run.caller);
  run.call = checked(call);
  if (run.previousId !== undefined && run.allowance) await coverTurns(deps, run, run.allowance);
}

/**
 * A tool of the provider's own goes by its wire type: in some languages the caller chooses its name. What a kept prompt offers nobody here can
 * see.
 * @throws ProblemError forbidden
 */
function assertTools(call: Call, { name, scopes }: Caller): void {
  const refused = (what: string): ProblemError =>
    new ProblemError({ kind: "forbidden", message: `The key "${name}" may not use ${what}.` });
  if (call.keptPrompt !== undefined) throw refused("prompts that the provider keeps: they may bring tools");
  for (const tool of offeredTools(call)) {
    if (tool.type === "namespace") {
      const other = tool.tools.find((one) => !mayUseTool(scopes, one.name, tool.name));
      if (other) throw refused(`the tool "${other.name}" of "${tool.name}"`);
    } else if (!mayUseTool(scopes, tool.type === "native" ? tool.kind : tool.name))
      throw refused(`the tool "${tool.type === "native" ? tool.kind : tool.name}"`);
  }
}

/** @throws ProblemError invalid_request */
export function checked(call: Call): Call {
  const problem = checkCall(call);
  if (problem) throw new ProblemError(problem);
  return call;
}

/** The call as a text model can answer it that knows no compaction: a request for a summary of the items. */
export function askForSummary(call: Call): Call {
  return amend(call, {
    operation: "generate",
    stream: false,
    tools: [],
    toolChoice: undefined,
    items: [...call.items, { type: "message", role: "user", parts: [{ type: "text", text: SUMMARY_REQUEST }] }],
  });
}

const SUMMARY_REQUEST =
  "Summarise the conversation so far so that it can be continued from the summary alone. Keep the goals, decisions, facts, names, numbers, open questions and the state of unfinished work. Answer with the summary only.";
