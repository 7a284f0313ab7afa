import { cardAsJson, invalid, type Headers, type JsonObject, type ListedModel, type ModelCard } from "../../canon/index.ts";

/** One model as `@google/genai` 3 reads it. */
export function encodeModel(model: ListedModel): JsonObject {
  return {
    name: `models/${model.id}`,
    baseModelId: model.id,
    version: "",
    displayName: model.displayName,
    ...(model.contextTokens !== undefined && { inputTokenLimit: model.contextTokens }),
    ...(model.maxOutputTokens !== undefined && { outputTokenLimit: model.maxOutputTokens }),
    supportedGenerationMethods: methodsOf(model.card),
    ...(model.card?.reasoning !== undefined && { thinking: model.card.reasoning }),
    ...(model.card && { gimbal: cardAsJson(model.card) }),
  };
}

const OF_CONVERSATIONS = ["generateContent", "streamGenerateContent", "countTokens"];

/** This language has no words for other operations. */
function methodsOf(card: ModelCard | undefined): string[] {
  if (!card) return OF_CONVERSATIONS;
  const { operations } = card;
  return [...(operations.includes("generate") ? OF_CONVERSATIONS : []), ...(operations.includes("embed") ? ["embedContent"] : [])];
}

/** Models on a page when the client names no size, and at most. Source: Gemini API reference, `models.list`. */
const DEFAULT_PAGE = 50;
const MAX_PAGE = 1000;

/** One page of the list; `nextPageToken` is the place of the next model. @throws ProblemError invalid_request */
export function encodeModels(models: readonly ListedModel[], _headers: Headers, params: Readonly<Record<string, string>> = {}): JsonObject {
  const { pageSize: asked, pageToken: token } = params;
  const size = asked === undefined || asked === "" || asked === "0" ? DEFAULT_PAGE : Number(asked);
  if (!Number.isInteger(size) || size < 1) throw invalid("pageSize: must be a whole number above 0.", "pageSize");
  const from = token === undefined || token === "" ? 0 : Number(token);
  if (!Number.isInteger(from) || from < 0 || from > models.length) throw invalid("pageToken: is not one that was given here.", "pageToken");
  const to = from + Math.min(size, MAX_PAGE);
  return { models: models.slice(from, to).map(encodeModel), ...(to < models.length && { nextPageToken: String(to) }) };
}
