import type { TaskOperation } from "../../canon/index.ts";
import { bearer, defineTaskDialect } from "../task-dialect.ts";
import { embed, ID, VARIANT } from "./embed.ts";
import { image, MAKE } from "./image.ts";
import { speech } from "./speech.ts";
import { transcribe } from "./transcribe.ts";

const door = (version: string, variant: string, operation: TaskOperation) => ({
  method: "POST" as const,
  path: `${version}/models/{model...}:${variant}`,
  params: { variant },
  does: { kind: "call" as const, operation },
});

/**
 * What the Gemini API has besides conversations, under both versions of its paths: embeddings, one or many at a time, and Imagen. Its models
 * that answer with images or sound, and those that hear, are asked in the words of conversations.
 */
export default defineTaskDialect({
  id: ID,
  title: "Gemini Embeddings, Images and Audio",
  modelInPath: true,
  doors: ["/v1beta", "/v1"].flatMap((version) => [
    door(version, VARIANT.one, "embed"),
    door(version, VARIANT.many, "embed"),
    door(version, MAKE.predict, "image"),
  ]),
  credentials: (headers) => headers["x-goog-api-key"]?.trim() || bearer(headers),
  tasks: { embed, image, speech, transcribe },
  problemBody({ message, kind }, callId) {
    const { status, code } = WORDS[kind] ?? { status: "INTERNAL", code: 500 };
    const detail = { "@type": "type.googleapis.com/google.rpc.RequestInfo", requestId: callId };
    return { error: { code, message, status, details: [detail] } };
  },
});

/** `google.rpc.Code`. */
const WORDS: Readonly<Record<string, { readonly status: string; readonly code: number } | undefined>> = {
  invalid_request: { status: "INVALID_ARGUMENT", code: 400 },
  unsupported: { status: "INVALID_ARGUMENT", code: 400 },
  upstream_rejected: { status: "INVALID_ARGUMENT", code: 400 },
  too_large: { status: "INVALID_ARGUMENT", code: 413 },
  unauthenticated: { status: "UNAUTHENTICATED", code: 401 },
  forbidden: { status: "PERMISSION_DENIED", code: 403 },
  policy_denied: { status: "PERMISSION_DENIED", code: 403 },
  approval_needed: { status: "PERMISSION_DENIED", code: 403 },
  unknown_model: { status: "NOT_FOUND", code: 404 },
  not_found: { status: "NOT_FOUND", code: 404 },
  conflict: { status: "ABORTED", code: 409 },
  rate_limited: { status: "RESOURCE_EXHAUSTED", code: 429 },
  budget_exhausted: { status: "RESOURCE_EXHAUSTED", code: 402 },
  cancelled: { status: "CANCELLED", code: 499 },
  killed: { status: "UNAVAILABLE", code: 503 },
  overloaded: { status: "UNAVAILABLE", code: 503 },
  storage_unavailable: { status: "UNAVAILABLE", code: 503 },
  gateway_restarted: { status: "UNAVAILABLE", code: 503 },
  upstream_unavailable: { status: "UNAVAILABLE", code: 502 },
  upstream_broken: { status: "UNAVAILABLE", code: 502 },
  upstream_timeout: { status: "DEADLINE_EXCEEDED", code: 504 },
};
