import { mayUseModel, type Alias, type Caller, type ModelBook, type Snapshot } from "../canon/index.ts";
import type { CallFacts } from "./facts.ts";
import { Fit } from "./fit.ts";

/** Names that a refusal gives. */
const NAMED = 5;
/** Aliases looked at for them. */
const LOOKED_AT = 200;

export interface AbleRequest {
  readonly snapshot: Snapshot;
  readonly caller: Caller;
  readonly facts: CallFacts;
  readonly book: Pick<ModelBook, "facts" | "countTokens"> | undefined;
  /** The model that cannot. */
  readonly but: string;
}

/** A sentence that names models of the list which could take a conversation that another cannot; empty where there are none, and for tasks. */
export function ableAliases(request: AbleRequest): string {
  const { snapshot, caller, facts, but } = request;
  if (facts.source.operation !== "generate") return "";
  const found: string[] = [];
  let looked = 0;
  for (const alias of snapshot.aliases.values()) {
    if (found.length === NAMED || looked === LOOKED_AT) break;
    if (alias.name === but || !mayUseModel(caller.scopes, alias.name)) continue;
    looked++;
    if (couldTake(alias, request)) found.push(`"${alias.name}"`);
  }
  return found.length === 0 ? "" : ` Models that could: ${found.join(", ")}.`;
}

function couldTake(alias: Alias, { snapshot, facts, book }: AbleRequest): boolean {
  const fit = new Fit(snapshot, alias, facts, book);
  // A target whose provider is not there is told of by whoever asks it; to name it here would help nobody.
  return alias.targets.some((target) => snapshot.providers.has(target.provider) && fit.fault(target) === undefined);
}
