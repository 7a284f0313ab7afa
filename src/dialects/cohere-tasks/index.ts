import { defineTaskDialect } from "../task-dialect.ts";
import { embed, ID } from "./embed.ts";
import { rerank } from "./rerank.ts";

/** Embeddings and reranking of Cohere's second API. */
export default defineTaskDialect({
  id: ID,
  title: "Cohere Embed and Rerank",
  doors: [
    { method: "POST", path: "/v2/embed", does: { kind: "call", operation: "embed" } },
    { method: "POST", path: "/v2/rerank", does: { kind: "call", operation: "rerank" } },
  ],
  tasks: { embed, rerank },
  problemBody: ({ message }, callId) => ({ id: callId, message }),
});
