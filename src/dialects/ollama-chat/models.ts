import { cardAsJson, type Json, type JsonObject, type ListedModel, type ModelCard } from "../../canon/index.ts";
import { demand, text } from "../shared-shape.ts";
import { timeOf } from "./usage.ts";

/** What of a model only a server that holds its file can know; clients expect the fields. */
const DETAILS = { parent_model: "", format: "", family: "", families: [], parameter_size: "", quantization_level: "" };
/** Clients show the beginning of it, and fail where it is shorter. */
const NO_DIGEST = "0".repeat(64);
/** Names of facts begin with the architecture, which `general.architecture` tells. */
const ARCHITECTURE = "gateway";

/** `GET /api/tags`. */
export function encodeModels(models: readonly ListedModel[]): Json {
  return {
    models: models.map(({ id, createdAt, card }) => ({
      name: id,
      model: id,
      modified_at: timeOf(createdAt),
      size: 0,
      digest: NO_DIGEST,
      details: DETAILS,
      ...(card && { gimbal: cardAsJson(card) }),
    })),
  };
}

/** `POST /api/show`. */
export function encodeModel({ createdAt, displayName, contextTokens, card }: ListedModel): Json {
  return {
    modelfile: "",
    parameters: "",
    template: "",
    details: DETAILS,
    model_info: {
      "general.architecture": ARCHITECTURE,
      "general.basename": displayName,
      ...(contextTokens !== undefined && { [`${ARCHITECTURE}.context_length`]: contextTokens }),
    },
    capabilities: capabilitiesOf(card),
    modified_at: timeOf(createdAt),
    ...(card && { gimbal: cardAsJson(card) }),
  };
}

/** In the words of Ollama's API ("Show Model Information"), by which clients decide what to offer. */
function capabilitiesOf(card: ModelCard | undefined): string[] {
  if (!card) return ["completion"];
  const { operations, input, tools, reasoning } = card;
  const words: readonly (readonly [word: string, holds: boolean | undefined])[] = [
    ["completion", operations.includes("generate")],
    ["embedding", operations.includes("embed")],
    ["vision", input.includes("image") && operations.includes("generate")],
    ["tools", tools],
    ["thinking", reasoning],
  ];
  return words.flatMap(([word, holds]) => (holds ? [word] : []));
}

/** Older clients call the field `name`. @throws ProblemError invalid_request */
export function modelAsked(body: JsonObject): string {
  return text(body["model"]) ?? text(body["name"]) ?? demand(body, "model", "string");
}
