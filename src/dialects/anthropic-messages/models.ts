import { cardAsJson, invalid, type Headers, type JsonObject, type ListedModel } from "../../canon/index.ts";

/** One model as SDK 1.12.0 reads it (`ModelInfo`). What the gateway does not know is null. */
export function encodeModel(model: ListedModel): JsonObject {
  return {
    type: "model",
    id: model.id,
    display_name: model.displayName,
    created_at: new Date(model.createdAt * 1000).toISOString(),
    max_input_tokens: model.contextTokens ?? null,
    max_tokens: model.maxOutputTokens ?? null,
    capabilities: null,
    lifecycle: "active",
    deprecated_at: null,
    retires_at: null,
    line: null,
    ...(model.card && { gimbal: cardAsJson(model.card) }),
  };
}

/** Models on a page when the client names no limit, and at most. */
const DEFAULT_PAGE = 20;
const MAX_PAGE = 1000;

/**
 * One page of the list: `limit` models, behind `after_id` or before `before_id`. `has_more` looks in the direction of the paging, as the
 * client's own iterator expects (SDK 1.12.0, `Page.nextPageRequestOptions`). @throws ProblemError invalid_request
 */
export function encodeModels(models: readonly ListedModel[], _headers: Headers, params: Readonly<Record<string, string>> = {}): JsonObject {
  const { limit: asked, after_id: after, before_id: before } = params;
  if (after && before) throw invalid("after_id: cannot be combined with before_id.", "after_id");
  const limit = asked === undefined || asked === "" ? DEFAULT_PAGE : Number(asked);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE)
    throw invalid(`limit: must be a whole number from 1 to ${MAX_PAGE}.`, "limit");
  const end = before ? placeOf(models, before, "before_id") : undefined;
  const from = end === undefined ? (after ? placeOf(models, after, "after_id") + 1 : 0) : Math.max(0, end - limit);
  const page = models.slice(from, end ?? from + limit);
  return {
    data: page.map(encodeModel),
    has_more: end === undefined ? from + limit < models.length : from > 0,
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
  };
}

function placeOf(models: readonly ListedModel[], id: string, param: string): number {
  const place = models.findIndex((model) => model.id === id);
  if (place < 0) throw invalid(`${param}: there is no model "${id.slice(0, 100)}" in the list.`, param);
  return place;
}

/** Clients of this language, and no others, name its version. */
export function answersModels(headers: Headers): boolean {
  return headers["anthropic-version"] !== undefined;
}
