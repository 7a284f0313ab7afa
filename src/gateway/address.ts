import {
  amend,
  ProblemError,
  type Call,
  type Diagnostic,
  type Dialect,
  type EncodeTarget,
  type Provider,
  type Target,
  type UpstreamCall,
} from "../canon/index.ts";
import { replaceMembers } from "../kit/index.ts";
import { openCarried } from "./carried.ts";
import { askForSummary, checked } from "./prepare.ts";
import type { Break } from "./stitch.ts";
import { callOf, operationOf, type GatewayDeps, type Run } from "./run.ts";
import { addressedTask } from "./task-address.ts";
import type { TaskReply } from "./task-reply.ts";
import type { SlicedProvider } from "./task-slices.ts";
import { taskOperation } from "./task.ts";

/** A call made ready for one target: in which language, with which bytes. */
export interface Addressed {
  readonly dialect: Dialect;
  readonly call: UpstreamCall;
  /** The client's own bytes, and the provider's come back untouched. */
  readonly forward: boolean;
  readonly withholdUsage: boolean;
  /** What was lost or bent. */
  readonly diagnostics: Diagnostic[];
  /** Of a task: what its reply must know, and who asks in several requests what does not fit into one. */
  readonly task?: TaskReply;
  readonly sliced?: SlicedProvider;
}

/** At once where the bytes pass. @throws ProblemError when the call cannot be said in any language of the provider */
export function addressed(
  deps: GatewayDeps,
  run: Run,
  provider: Provider,
  target: Target,
  credential?: string,
  gap?: Break,
): Addressed | Promise<Addressed> {
  const task = taskOperation(run);
  if (task !== undefined) return addressedTask(deps, run, task, provider, target, credential);
  const client = run.request.dialect;
  const speaksClient = provider.dialects.includes(client.id);
  // By its id: a client's framing is not the provider's.
  const dialect = speaksClient ? (deps.dialects.get(client.id) ?? client) : deps.dialects.get(provider.dialects[0] ?? "");
  if (!dialect)
    throw new ProblemError({ kind: "unsupported", message: `The provider "${provider.id}" speaks no language this gateway knows.` });
  const encodeTarget: EncodeTarget = { provider: provider.id, model: target.model, capabilities: provider.capabilities(target.model) };
  if (speaksClient && run.slowReason === undefined && !gap) return forwarded(run, dialect, encodeTarget, credential);
  return rewritten(deps, run, dialect, provider, encodeTarget, credential, gap?.call ?? callOf(run));
}

async function rewritten(
  deps: GatewayDeps,
  run: Run,
  dialect: Dialect,
  provider: Provider,
  target: EncodeTarget,
  credential: string | undefined,
  asked: Call,
): Promise<Addressed> {
  const client = run.request.dialect;
  const diagnostics: Diagnostic[] = [];
  const call = await crossing(deps, run, dialect, provider, asked);
  // Kept answers are found by id, and providers of other languages give none, or one twice.
  if (run.keep && dialect.id !== client.id) run.promisedId ??= client.newAnswerId?.(deps.randomness.id(""));
  const request = dialect.encodeCall(amend(call, { model: target.model }), target, (diagnostic) => diagnostics.push(diagnostic));
  return {
    dialect,
    diagnostics,
    forward: false,
    withholdUsage: false,
    call: {
      dialect: dialect.id,
      operation: call.operation,
      model: target.model,
      stream: run.stream,
      ...(run.stream && dialect.framing && { accepts: dialect.framing.contentType }),
      request,
      attempt: run.attempts.length + (run.race?.size ?? 0),
      ...(credential !== undefined && { credential }),
    },
  };
}

/** The client's bytes but for the model's name and what the dialect says must change. */
function forwarded(run: Run, dialect: Dialect, target: EncodeTarget, credential: string | undefined): Addressed {
  const diagnostics: Diagnostic[] = [];
  const { document, request } = run;
  if (!document) throw new ProblemError({ kind: "internal", message: "A call without a body was to be forwarded." });
  const operation = operationOf(run);
  const {
    path,
    headers,
    replace,
    withholdUsage = false,
  } = dialect.forwardCall(document.value, { operation, headers: request.headers, params: request.params }, target, (diagnostic) =>
    diagnostics.push(diagnostic),
  );
  const body = replaceMembers(document, dialect.modelInPath ? replace : { model: target.model, ...replace });
  return {
    dialect,
    diagnostics,
    forward: true,
    withholdUsage,
    call: {
      dialect: dialect.id,
      operation,
      model: target.model,
      stream: run.stream,
      ...(run.stream && dialect.framing && { accepts: dialect.framing.contentType }),
      request: { method: "POST", path, headers, body },
      attempt: run.attempts.length + (run.race?.size ?? 0),
      ...(credential !== undefined && { credential }),
    },
  };
}

/** The canonical call for a provider of another language (or one that must be rewritten): with what its own earlier answers left here. */
async function crossing(deps: GatewayDeps, run: Run, dialect: Dialect, provider: Provider, asked: Call): Promise<Call> {
  let call = checked(asked);
  if (dialect.id !== run.request.dialect.id) {
    call = openCarried(deps.seal, run, call, dialect.id, provider.id);
    call = await deps.turns.restore(run, call, dialect.id, provider.id);
    if (call.operation === "compact") call = askForSummary(call);
  }
  return amend(call, { stream: run.stream });
}
