import {
  amend,
  ProblemError,
  type Call,
  type Dialect,
  type EncodeTarget,
  type Provider,
  type Target,
  type UpstreamCall,
} from "../canon/index.ts";
import { replaceMembers } from "../kit/index.ts";
import { openCarried } from "./carried.ts";
import { askForSummary, checked } from "./prepare.ts";
import { callOf, operationOf, type GatewayDeps, type Run } from "./run.ts";

/** A call made ready for one target: in which language, with which bytes. */
export interface Addressed {
  readonly dialect: Dialect;
  readonly call: UpstreamCall;
  /** The client's own bytes, and the provider's come back untouched. */
  readonly forward: boolean;
  readonly withholdUsage: boolean;
}

/** At once where the bytes pass. @throws ProblemError when the call cannot be said in any language of the provider */
export function addressed(deps: GatewayDeps, run: Run, provider: Provider, target: Target): Addressed | Promise<Addressed> {
  const client = run.request.dialect;
  const speaksClient = provider.dialects.includes(client.id);
  const dialect = speaksClient ? client : deps.dialects.get(provider.dialects[0] ?? "");
  if (!dialect)
    throw new ProblemError({ kind: "unsupported", message: `The provider "${provider.id}" speaks no language this gateway knows.` });
  const encodeTarget: EncodeTarget = { provider: provider.id, model: target.model, capabilities: provider.capabilities(target.model) };
  run.diagnostics = [];
  if (speaksClient && run.slowReason === undefined) return forwarded(run, dialect, encodeTarget);
  return rewritten(deps, run, dialect, provider, encodeTarget);
}

async function rewritten(deps: GatewayDeps, run: Run, dialect: Dialect, provider: Provider, target: EncodeTarget): Promise<Addressed> {
  const client = run.request.dialect;
  const call = await crossing(deps, run, dialect, provider);
  // Kept answers are found by id, and providers of other languages give none, or one twice.
  if (run.keep && dialect.id !== client.id) run.promisedId ??= client.newAnswerId?.(deps.randomness.id(""));
  const request = dialect.encodeCall(amend(call, { model: target.model }), target, (diagnostic) => run.diagnostics.push(diagnostic));
  return {
    dialect,
    forward: false,
    withholdUsage: false,
    call: {
      dialect: dialect.id,
      operation: call.operation,
      model: target.model,
      stream: run.stream,
      request,
      attempt: run.attempts.length,
    },
  };
}

/** The client's bytes but for the model's name and what the dialect says must change. */
function forwarded(run: Run, dialect: Dialect, target: EncodeTarget): Addressed {
  const { document, request } = run;
  if (!document) throw new ProblemError({ kind: "internal", message: "A call without a body was to be forwarded." });
  const operation = operationOf(run);
  const {
    path,
    headers,
    replace,
    withholdUsage = false,
  } = dialect.forwardCall(document.value, { operation, headers: request.headers, params: request.params }, target, (diagnostic) =>
    run.diagnostics.push(diagnostic),
  );
  const body = replaceMembers(document, { model: target.model, ...replace });
  return {
    dialect,
    forward: true,
    withholdUsage,
    call: {
      dialect: dialect.id,
      operation,
      model: target.model,
      stream: run.stream,
      request: { method: "POST", path, headers, body },
      attempt: run.attempts.length,
    },
  };
}

/** The canonical call for a provider of another language (or one that must be rewritten): with what its own earlier answers left here. */
async function crossing(deps: GatewayDeps, run: Run, dialect: Dialect, provider: Provider): Promise<Call> {
  let call = checked(callOf(run));
  if (dialect.id !== run.request.dialect.id) {
    call = openCarried(deps.seal, run, call, dialect.id, provider.id);
    call = await deps.turns.restore(run, call, dialect.id, provider.id);
    if (call.operation === "compact") call = askForSummary(call);
  }
  return amend(call, { stream: run.stream });
}
