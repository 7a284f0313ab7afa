import {
  mayUseModel,
  problemFrom,
  ProblemError,
  type Dialect,
  type Door,
  type Json,
  type JsonObject,
  type ListedModel,
  type Scopes,
} from "../canon/index.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import { nearest, openJson } from "../kit/index.ts";
import { cardOf, placeOfTarget } from "../models/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { identifyAndCount } from "./calls.ts";
import { headersIn } from "./query-headers.ts";
import { answerWith, sendJson } from "./respond.ts";
import { queryParams, type Params, type Router } from "./router.ts";

/** Bytes of a question about one model. */
const QUESTION_BYTES = 64 * 1024;

/** The model list, in the shape of the language that asks. */
export function mountModels(router: Router, deps: GatewayDeps): void {
  const handle =
    (work: (dialect: Dialect, request: FrontRequest, id: string) => Promise<Json | undefined>) =>
    (request: FrontRequest, out: FrontOut, params: Params) =>
      answerWith(
        out,
        async () => {
          const dialect = languageOf(deps, request);
          await answerIn(deps, dialect, out, () => work(dialect, request, params["id"] ?? ""));
        },
        (error) => deps.report(error, "models"),
      );
  router.add(
    "GET",
    "/v1/models",
    handle(async (dialect, request) => {
      const { scopes } = await identifyAndCount(deps, request, dialect);
      return dialect.encodeModels?.(listModels(deps, scopes), request.headers, queryParams(request.query));
    }),
  );
  router.add("GET", "/v1/models/{id...}", handle(oneModel(deps)));
}

/** A door of a language's own for what `/v1/models` tells. */
export function mountModelDoor(router: Router, deps: GatewayDeps, dialect: Dialect, door: Door): void {
  const { does } = door;
  if (does.kind !== "models") return;
  const one = oneModel(deps);
  const list = async (request: FrontRequest): Promise<Json | undefined> => {
    const { scopes } = await identifyAndCount(deps, request, dialect);
    return dialect.encodeModels?.(listModels(deps, scopes), request.headers, queryParams(request.query));
  };
  router.add(door.method, door.path, (request, out, params) =>
    answerWith(
      out,
      () =>
        answerIn(deps, dialect, out, async () => {
          if (does.action === "list") return list(request);
          return one(dialect, request, params["model"] ?? (await askedIn(deps, dialect, request)));
        }),
      (error) => deps.report(error, "models"),
    ),
  );
}

/** @throws ProblemError invalid_request, too_large */
async function askedIn(deps: GatewayDeps, dialect: Dialect, request: FrontRequest): Promise<string> {
  const { bodyBytes, requestBodyMs, jsonDepth } = deps.snapshot().limits;
  const bytes = await new Promise<Uint8Array>((resolve, reject) => {
    request.readBody({ maxBytes: Math.min(bodyBytes, QUESTION_BYTES), timeoutMs: requestBodyMs }, (outcome) =>
      outcome.ok ? resolve(outcome.bytes) : reject(new ProblemError(outcome.problem)),
    );
  });
  const opened = openJson(bytes, { depth: jsonDepth });
  if (!opened.ok) throw new ProblemError({ kind: "invalid_request", message: opened.message });
  return dialect.modelAsked?.(opened.document.value) ?? "";
}

/** Sends what `work` finds. The client reads the errors of its own language only. */
async function answerIn(deps: GatewayDeps, dialect: Dialect, out: FrontOut, work: () => Promise<Json | undefined>): Promise<void> {
  const outcome = await work().then(
    (body) => ({ body }),
    (error: unknown) => ({ error }),
  );
  if (!("error" in outcome)) return sendJson(out, 200, { ...(outcome.body as JsonObject) });
  const problem = problemFrom(outcome.error);
  const requestId = deps.randomness.id("req_");
  if (problem.kind === "internal") deps.report(outcome.error, requestId);
  const { status, body } = dialect.encodeProblem(problem, requestId);
  sendJson(out, status, { ...(body as JsonObject) }, problemHeaders(problem));
}

const oneModel =
  (deps: GatewayDeps) =>
  async (dialect: Dialect, request: FrontRequest, id: string): Promise<Json | undefined> => {
    const caller = await identifyAndCount(deps, request, dialect);
    const models = listModels(deps, caller.scopes);
    const model = models.find((listed) => listed.id === id);
    if (model) return dialect.encodeModel?.(model, request.headers);
    // Only what is listed can be meant here: a provider may have models that this list does not show.
    const like = nearest(
      id,
      models.map((listed) => listed.id),
    );
    const hint = like === undefined ? "" : ` Did you mean "${like}"?`;
    throw new ProblemError({
      kind: "unknown_model",
      message: `There is no model "${id.slice(0, 200)}" in the list.${hint}`,
      param: "model",
      code: "model_not_found",
    });
  };

/** What a key may name: the aliases, with what is known of their first target. */
export function listModels(deps: GatewayDeps, scopes: Scopes): ListedModel[] {
  const { book, clock } = deps;
  const { aliases, providers, places } = deps.snapshot();
  const at = clock.now();
  const models: ListedModel[] = [];
  for (const alias of aliases.values()) {
    const [first] = alias.targets;
    if (!first || !mayUseModel(scopes, alias.name)) continue;
    const provider = providers.get(first.provider);
    const facts = book.facts(first.provider, first.model);
    models.push({
      id: alias.name,
      provider: first.provider,
      createdAt: 0,
      displayName: facts?.displayName ?? alias.name,
      ...(facts?.contextTokens !== undefined && { contextTokens: facts.contextTokens }),
      ...(facts?.maxOutputTokens !== undefined && { maxOutputTokens: facts.maxOutputTokens }),
      ...(provider && { card: cardOf({ book, provider, model: first.model, place: placeOfTarget(first, places), at }) }),
    });
  }
  return models;
}

/** The language a request speaks by its headers: whose model list it would get. */
export function languageOf(deps: GatewayDeps, request: FrontRequest): Dialect {
  const speaking = [...deps.dialects.values()].filter((dialect) => "encodeModels" in dialect);
  const dialect =
    speaking.find((candidate) => candidate.answersModels?.(headersIn(candidate, request))) ??
    speaking.find((candidate) => !("answersModels" in candidate));
  if (!dialect) throw new ProblemError({ kind: "internal", message: "No dialect lists models." });
  return dialect;
}
