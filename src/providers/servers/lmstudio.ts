import type { ModelOperation, ServedModel, ServerReport } from "../../canon/index.ts";
import { jsonOf, listAt, nameAt, tokensAt, whyDown, wordsAt } from "./read.ts";
import { asNamed, type ServerKind } from "./types.ts";

/** It tells nothing of its queue, so what it serves is all there is to ask. */
const EVERY_MS = 10_000;

const OPERATIONS: Readonly<Record<string, readonly ModelOperation[]>> = {
  llm: ["generate"],
  vlm: ["generate"],
  embeddings: ["embed"],
};

/** Source: LM Studio documentation, "REST API v0", `GET /api/v0/models`. A model that is not loaded is loaded by its first call. */
export const lmstudioServer: ServerKind = ({ ask }) => ({
  listedAs: asNamed,
  wantsWarm: [],
  everyMs: EVERY_MS,
  async survey(_what, signal): Promise<ServerReport> {
    const fetched = await ask(signal)("/api/v0/models");
    const down = whyDown(fetched);
    if (down !== undefined) return { up: false, detail: down };
    const models = listAt(jsonOf(fetched), "data").flatMap(served);
    return { up: true, detail: "it answers", ...(models.length > 0 && { models }) };
  },
});

function served(entry: unknown): readonly ServedModel[] {
  const name = nameAt(entry, "id");
  if (name === undefined) return [];
  const type = nameAt(entry, "type") ?? "";
  const state = nameAt(entry, "state");
  const loaded = state === "loaded";
  // One that is loaded has the window it was loaded with; another could be loaded with its largest.
  const contextTokens = (loaded ? tokensAt(entry, "loaded_context_length") : undefined) ?? tokensAt(entry, "max_context_length");
  const operations = Object.hasOwn(OPERATIONS, type) ? OPERATIONS[type] : undefined;
  const words = wordsAt(entry, "capabilities");
  const capabilities = {
    ...((type === "llm" || type === "vlm") && { vision: type === "vlm" }),
    ...(words.includes("tool_use") && { tools: true }),
  };
  return [
    {
      name,
      ...(contextTokens !== undefined && { contextTokens }),
      ...(operations && { operations }),
      ...(Object.keys(capabilities).length > 0 && { capabilities }),
      ...(state !== undefined && { loaded }),
    },
  ];
}
