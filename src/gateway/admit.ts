import { BATCH_TIER, isTask, mayUseModel, ProblemError, type Caller, type JsonObject, type Outline } from "../canon/index.ts";
import { allow, coverHanded, enter } from "./allowance.ts";
import { scopedWishes } from "./metadata.ts";
import { recast } from "./recast.ts";
import { readWishes } from "./request.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";
import { openBody } from "./task.ts";

/** Milliseconds after which an overloaded gateway may be asked again. */
const OVERLOAD_RETRY_MS = 1000;

/** A name this long names no model; it would only fill headers and ledger rows. */
const MODEL_CHARACTERS = 512;

/** Who calls, is it allowed, what is asked: from headers to an outline. The body is only read for a caller that is let in. */
export async function admit(deps: GatewayDeps, run: Run): Promise<void> {
  const { request, snapshot, live } = run;
  const { limits } = snapshot;
  // What a batch service has been handed is under way or answered: nothing here can refuse it any more.
  const isGone = request.handed !== undefined && request.handed.stage !== "draft";
  const identified =
    request.shadow?.caller ?? request.caller ?? deps.admission.identify(snapshot, request.dialect, request.headers, request.peer);
  const caller = identified instanceof Promise ? await identified : identified;
  run.caller = caller;
  live.caller = caller;
  live.dialect = request.dialect.id;
  if (caller.scopes.surfaces && !caller.scopes.surfaces.includes(request.dialect.id)) {
    throw new ProblemError({ kind: "forbidden", message: `The key "${caller.name}" may not use the ${request.dialect.title} surface.` });
  }
  if (!isGone) assertOpen(deps, limits.calls);
  // The gateway's own copies are bounded by how many run at once.
  const entered = request.shadow || isGone ? undefined : enter(deps, run, caller);
  if (entered) await entered;
  run.wishes = scopedWishes(caller, request, readWishes(request.headers));
  const bytes = await request.readBody({ maxBytes: limits.bodyBytes, timeoutMs: limits.requestBodyMs });
  const document = openBody(run, bytes, limits);
  run.document = document;
  // Of a form only its fields are words.
  const size = run.form ? document.text.length : bytes.length;
  let outline = outlineOf(run, document.value);
  run.model = outline.model.slice(0, MODEL_CHARACTERS);
  if (outline.model.length > MODEL_CHARACTERS)
    throw new ProblemError({
      kind: "invalid_request",
      message: `The model's name is longer than ${MODEL_CHARACTERS} characters.`,
      param: "model",
    });
  const killed = isGone ? undefined : deps.switches.refusal(caller, run.model);
  if (killed) throw new ProblemError(killed);
  if (outline.otherModels && !isGone) checkOthers(deps, run, caller, outline.otherModels);
  const task = recast(deps, run, document.value);
  if (task) {
    run.request = task;
    live.dialect = task.dialect.id;
    outline = outlineOf(run, document.value);
  }
  const operation = operationOf(run);
  run.stream = outline.stream && (operation === "generate" || isTask(operation));
  run.units = outline.units;
  run.maxOutputTokens = outline.maxOutputTokens;
  run.choices = outline.choices ?? 1;
  run.serviceTier = request.handed ? BATCH_TIER : outline.serviceTier;
  run.keep = !request.shadow && (outline.keep || outline.background || request.connection !== undefined);
  run.background = outline.background;
  live.durable = outline.background || run.wishes.onDisconnect === "detach" || run.wishes.idempotencyKey !== undefined;
  run.warmUp = outline.warmUp === true;
  run.slowReason =
    outline.slow ??
    (outline.previousId !== undefined ? "earlier turns are filled in" : undefined) ??
    (outline.background ? "runs in the background" : undefined);
  const allowed = isGone ? coverHanded(deps, run, caller, size) : allow(deps, run, caller, size);
  if (allowed) await allowed;
  // Of a draft nothing is settled, and an answer is there already: neither is ever left open.
  if (request.handed) return;
  deps.ledger.open({
    callId: live.id,
    startedAt: live.startedAt,
    callerId: caller.id,
    model: run.model,
    dialect: live.dialect,
    inputEstimate: Math.ceil(size / 4),
    node: deps.node,
    ...(run.allowance && { holds: run.allowance.held() }),
  });
}

function outlineOf(run: Run, body: JsonObject): Outline {
  const { dialect, headers, params } = run.request;
  return dialect.outline(body, { operation: operationOf(run), headers, params });
}

/** Models with which a request lets its provider answer instead are held to the rules of the one that it names. @throws ProblemError */
function checkOthers(deps: GatewayDeps, run: Run, caller: Caller, others: readonly string[]): void {
  // An alias names no provider: what stands behind it is for its own targets to say.
  const slash = run.model.indexOf("/");
  const provider = slash < 0 ? run.model : run.model.slice(0, slash);
  for (const other of others) {
    const name = `${provider}/${other}`;
    if (!mayUseModel(caller.scopes, name)) {
      const message = `The key "${caller.name}" may not use the model "${name.slice(0, MODEL_CHARACTERS)}".`;
      throw new ProblemError({ kind: "forbidden", message, param: "models" });
    }
    const killed = deps.switches.refusal(caller, name);
    if (killed) throw new ProblemError(killed);
  }
}

/** Is there room for one more call, and can it be recorded? @throws ProblemError overloaded, storage_unavailable */
function assertOpen({ live, ledger }: GatewayDeps, mostCalls: number): void {
  if (live.running > mostCalls)
    throw new ProblemError({ kind: "overloaded", message: `More than ${mostCalls} calls are running.`, retryAfterMs: OVERLOAD_RETRY_MS });
  const failure = ledger.failure();
  if (failure === undefined) return;
  const message = `Calls cannot be recorded: ${failure}`;
  throw new ProblemError({ kind: "storage_unavailable", message, retryAfterMs: OVERLOAD_RETRY_MS });
}
