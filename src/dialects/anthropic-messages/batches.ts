import { invalid, type Batch, type BatchLanguage, type Json, type LineCounts, type LineResult } from "../../canon/index.ts";
import { handedOver } from "../shared-batches.ts";
import { encodeProblem } from "./problem.ts";
import { isObject } from "./wire.ts";

const CUSTOM_ID = /^[A-Za-z0-9_-]{1,64}$/;
const CUSTOM_ID_CHARACTERS = 64;
const MESSAGES = "/v1/messages";
/** What the API's own version and opt-ins are said by; they hold for every call of a batch. */
const HEADERS = ["anthropic-version", "anthropic-beta"];

/** Message Batches. Source: the SDK's types (0.137.0), `resources/messages/batches`. */
export const batches: BatchLanguage = {
  prefix: "msgbatch_",
  resultFiles: false,
  doors: [
    { method: "POST", path: "/v1/messages/batches", does: "create" },
    { method: "GET", path: "/v1/messages/batches", does: "list" },
    { method: "GET", path: "/v1/messages/batches/{id}", does: "read" },
    { method: "POST", path: "/v1/messages/batches/{id}/cancel", does: "cancel" },
    { method: "GET", path: "/v1/messages/batches/{id}/results", does: "results" },
    { method: "DELETE", path: "/v1/messages/batches/{id}", does: "delete" },
  ],
  decode({ requests }) {
    if (!Array.isArray(requests) || requests.length === 0) throw invalid("requests must be a list of at least one request.", "requests");
    return { lines: requests as readonly Json[] };
  },
  customId: ({ custom_id: id }) => (typeof id === "string" ? id.slice(0, CUSTOM_ID_CHARACTERS) : null),
  decodeLine({ custom_id: customId, params }) {
    if (typeof customId !== "string" || !CUSTOM_ID.test(customId))
      throw invalid("custom_id must have 1 to 64 letters, digits, `_` and `-`.", "custom_id");
    if (!isObject(params)) throw invalid("params must be an object.", "params");
    if (params["stream"] === true) throw invalid("Calls of a batch are not streamed.", "params.stream");
    return { customId, path: MESSAGES, body: params };
  },
  headers: (headers) => Object.fromEntries(HEADERS.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]]))),
  encode,
  encodePage: ({ entries, more }, address) => ({
    data: entries.map(([batch, counts]) => encode(batch, counts, address)),
    has_more: more,
    first_id: entries[0]?.[0].id ?? null,
    last_id: entries.at(-1)?.[0].id ?? null,
  }),
  encodeDeleted: (id) => ({ id, type: "message_batch_deleted" }),
  encodeResult,
};

function encode(batch: Batch, { ok, failed, cancelled, expired }: LineCounts, address: string): Json {
  const { id, total, createdAt, deadline, cancelledAt, ended } = batch;
  const at = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());
  return {
    id,
    type: "message_batch",
    processing_status: ended ? "ended" : cancelledAt === undefined ? "in_progress" : "canceling",
    // The counts are told when all is over; until then everything is being processed.
    request_counts: ended
      ? { processing: 0, succeeded: ok, errored: failed, canceled: cancelled, expired }
      : { processing: total, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
    created_at: at(createdAt),
    expires_at: at(deadline),
    ended_at: at(ended?.at),
    cancel_initiated_at: at(cancelledAt),
    archived_at: null,
    results_url: ended ? `${address}/v1/messages/batches/${id}/results` : null,
    ...handedOver(batch),
  };
}

function encodeResult({ id, customId, outcome, answer, problem }: LineResult): Json {
  return { custom_id: customId, result: resultOf() };

  function resultOf(): Json {
    if (outcome === "ok") return { type: "succeeded", message: answer?.body ?? null };
    if (outcome === "cancelled") return { type: "canceled" };
    if (outcome === "expired") return { type: "expired" };
    return { type: "errored", error: problem ? encodeProblem(problem, id).body : (answer?.body ?? null) };
  }
}
