import { mayUseModel, ProblemError, type Dialect, type JsonObject, type ListedModel, type Scopes } from "../canon/index.ts";
import { unknownModel } from "../routing/plan.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { identify } from "./calls.ts";
import { answerWith, sendJson } from "./respond.ts";
import type { Router } from "./router.ts";

/** The model list, in the shape of the language that asks. */
export function mountModels(router: Router, deps: GatewayDeps): void {
  const report = (error: unknown): void => deps.report(error, "models");
  router.add("GET", "/v1/models", (request, out) =>
    answerWith(
      out,
      async () => {
        const caller = await identify(deps, request);
        const models = listModels(deps, caller.scopes);
        sendJson(out, 200, { ...(languageOf(deps, request).encodeModels?.(models, request.headers) as JsonObject) });
      },
      report,
    ),
  );
  router.add("GET", "/v1/models/{id...}", (request, out, { id = "" }) => answerWith(out, () => oneModel(deps, request, out, id), report));
}

async function oneModel(deps: GatewayDeps, request: FrontRequest, out: FrontOut, id: string): Promise<void> {
  const caller = await identify(deps, request);
  const model = listModels(deps, caller.scopes).find((listed) => listed.id === id);
  if (!model) throw unknownModel(deps.snapshot(), caller, id);
  sendJson(out, 200, { ...(languageOf(deps, request).encodeModel?.(model, request.headers) as JsonObject) });
}

/** What a key may name: the aliases, with what is known of their first target. */
export function listModels(deps: GatewayDeps, scopes: Scopes): ListedModel[] {
  const snapshot = deps.snapshot();
  const models: ListedModel[] = [];
  for (const alias of snapshot.aliases.values()) {
    const [first] = alias.targets;
    if (!first || !mayUseModel(scopes, alias.name)) continue;
    const facts = deps.book.facts(first.provider, first.model);
    models.push({
      id: alias.name,
      provider: first.provider,
      createdAt: 0,
      displayName: facts?.displayName ?? alias.name,
      ...(facts?.contextTokens !== undefined && { contextTokens: facts.contextTokens }),
      ...(facts?.maxOutputTokens !== undefined && { maxOutputTokens: facts.maxOutputTokens }),
    });
  }
  return models;
}

function languageOf(deps: GatewayDeps, request: FrontRequest): Dialect {
  const speaking = [...deps.dialects.values()].filter((dialect) => "encodeModels" in dialect);
  const dialect = speaking.find((candidate) => candidate.answersModels?.(request.headers)) ?? speaking.find((candidate) => !("answersModels" in candidate));
  if (!dialect) throw new ProblemError({ kind: "internal", message: "No dialect lists models." });
  return dialect;
}
