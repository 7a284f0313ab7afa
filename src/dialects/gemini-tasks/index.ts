import { bearer, defineTaskDialect } from "../task-dialect.ts";
import { embed, ID, VARIANT } from "./embed.ts";

/** Embeddings of the Gemini API, one or many at a time, under both versions of its paths. */
export default defineTaskDialect({
  id: ID,
  title: "Gemini Embeddings",
  modelInPath: true,
  doors: ["/v1beta", "/v1"].flatMap((version) =>
    [VARIANT.one, VARIANT.many].map((variant) => ({
      method: "POST" as const,
      path: `${version}/models/{model...}:${variant}`,
      params: { variant },
      does: { kind: "call" as const, operation: "embed" as const },
    })),
  ),
  credentials: (headers) => headers["x-goog-api-key"]?.trim() || bearer(headers),
  tasks: { embed },
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
