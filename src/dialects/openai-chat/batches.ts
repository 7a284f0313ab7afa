import {
  invalid,
  type Batch,
  type BatchLanguage,
  type Json,
  type JsonObject,
  type LineCounts,
  type LineResult,
  type Problem,
} from "../../canon/index.ts";
import { handedOver } from "../shared-batches.ts";
import { unixSeconds } from "./files.ts";
import { encodeProblem } from "./problem.ts";
import { isObject } from "./shape.ts";

const WINDOW = "24h";
const METADATA_PAIRS = 16;
const METADATA_CHARACTERS = 512;
const CUSTOM_ID_CHARACTERS = 512;

/** The Batch API. Source: the `openai` package's types (7.57), `resources/batches`, and the API reference's "request input" and "request output" objects. */
export const batches: BatchLanguage = {
  prefix: "batch_",
  filePurpose: "batch",
  resultFiles: true,
  doors: [
    { method: "POST", path: "/v1/batches", does: "create" },
    { method: "GET", path: "/v1/batches", does: "list" },
    { method: "GET", path: "/v1/batches/{id}", does: "read" },
    { method: "POST", path: "/v1/batches/{id}/cancel", does: "cancel" },
  ],
  decode(body) {
    const { endpoint, input_file_id: inputFile, completion_window: window, metadata } = body;
    if (typeof inputFile !== "string" || inputFile === "") throw invalid("input_file_id must name a file.", "input_file_id");
    if (typeof endpoint !== "string") throw invalid("endpoint must be a path such as /v1/chat/completions.", "endpoint");
    if (window !== WINDOW) throw invalid(`completion_window must be ${WINDOW}.`, "completion_window");
    const labels = readMetadata(metadata);
    return { inputFile, endpoint, ...(labels && { metadata: labels }) };
  },
  customId: ({ custom_id: id }) => (typeof id === "string" ? id.slice(0, CUSTOM_ID_CHARACTERS) : null),
  decodeLine({ custom_id: customId, method, url, body }, endpoint) {
    if (typeof customId !== "string" || customId === "" || customId.length > CUSTOM_ID_CHARACTERS)
      throw invalid(`custom_id must have 1 to ${CUSTOM_ID_CHARACTERS} characters.`, "custom_id", "missing_custom_id");
    if (method !== "POST") throw invalid("method must be POST.", "method", "invalid_method");
    if (typeof url !== "string" || url !== endpoint)
      throw invalid(`url must be the batch's own endpoint, ${endpoint ?? ""}.`, "url", "invalid_url");
    if (!isObject(body)) throw invalid("body must be an object.", "body", "invalid_body");
    if (body["stream"] === true || body["background"] === true)
      throw invalid("Calls of a batch are neither streamed nor in the background.", "body", "invalid_body");
    return { customId, path: url, body };
  },
  headers: () => ({}),
  encode,
  encodePage: ({ entries, more }) => ({
    object: "list",
    data: entries.map(([batch, counts]) => encode(batch, counts)),
    has_more: more,
    first_id: entries[0]?.[0].id ?? null,
    last_id: entries.at(-1)?.[0].id ?? null,
  }),
  encodeDeleted: (id) => ({ id, object: "batch", deleted: true }),
  encodeResult,
};

function readMetadata(metadata: Json | undefined): JsonObject | undefined {
  if (metadata === undefined || metadata === null) return undefined;
  const isFlat =
    isObject(metadata) &&
    Object.keys(metadata).length <= METADATA_PAIRS &&
    Object.values(metadata).every((value) => typeof value === "string" && value.length <= METADATA_CHARACTERS);
  if (!isFlat) throw invalid(`metadata must have at most ${METADATA_PAIRS} texts of ${METADATA_CHARACTERS} characters.`, "metadata");
  return metadata;
}

function statusOf({ ended, cancelledAt, finishingAt, startedAt }: Batch): string {
  if (ended) return ended.as;
  if (cancelledAt !== undefined) return "cancelling";
  if (finishingAt !== undefined) return "finalizing";
  return startedAt === undefined ? "validating" : "in_progress";
}

function encode(batch: Batch, { ok, failed }: LineCounts): Json {
  const { id, endpoint = null, inputFile, outputFile, errorFile, createdAt, startedAt, finishingAt, cancelledAt, deadline, ended } = batch;
  const at = (ms: number | undefined): number | null => (ms === undefined ? null : unixSeconds(ms));
  const endedAs = (as: string): number | null => (ended?.as === as ? at(ended.at) : null);
  return {
    id,
    object: "batch",
    endpoint,
    errors: batch.problem ? { object: "list", data: [errorOf(batch.problem)] } : null,
    input_file_id: inputFile,
    completion_window: WINDOW,
    status: statusOf(batch),
    output_file_id: outputFile ?? null,
    error_file_id: errorFile ?? null,
    created_at: unixSeconds(createdAt),
    in_progress_at: at(startedAt),
    expires_at: unixSeconds(deadline),
    finalizing_at: at(finishingAt),
    completed_at: endedAs("completed"),
    failed_at: endedAs("failed"),
    expired_at: endedAs("expired"),
    cancelling_at: at(cancelledAt),
    cancelled_at: endedAs("cancelled"),
    request_counts: { total: batch.total, completed: ok, failed },
    metadata: batch.metadata ?? null,
    ...handedOver(batch),
  };
}

function errorOf({ kind, code, message, param }: Problem): JsonObject {
  return { code: code ?? kind, message, param: param ?? null, line: null };
}

/** A line that was cancelled is in neither file. */
function encodeResult({ id, customId, outcome, answer, problem }: LineResult): Json | undefined {
  if (outcome === "cancelled") return undefined;
  const base = { id: `batch_req_${id}`, custom_id: customId };
  if (outcome === "expired") {
    const message = "This request could not be executed before the completion window expired.";
    return { ...base, response: null, error: { code: "batch_expired", message } };
  }
  if (answer) {
    const { status, callId, body } = answer;
    return { ...base, response: { status_code: status, request_id: callId, body }, error: null };
  }
  if (!problem) return { ...base, response: null, error: null };
  const { status, body } = encodeProblem(problem, id);
  return {
    ...base,
    response: { status_code: status, request_id: id, body },
    error: { code: problem.code ?? problem.kind, message: problem.message },
  };
}
