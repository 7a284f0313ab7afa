import type { Headers, JsonObject, ListedModel } from "../../canon/index.ts";

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
  };
}

/** The list is given whole, as one page. */
export function encodeModels(models: readonly ListedModel[]): JsonObject {
  return { data: models.map(encodeModel), has_more: false, first_id: models[0]?.id ?? null, last_id: models.at(-1)?.id ?? null };
}

/** Clients of this language, and no others, name its version. */
export function answersModels(headers: Headers): boolean {
  return headers["anthropic-version"] !== undefined;
}
