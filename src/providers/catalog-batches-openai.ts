import type { BatchService, BatchStanding, Json, JsonObject, ServiceResult } from "../canon/index.ts";
import { barePath, countOf, fileForm, get, isObject, oneLine, post, remove, secondsOf, segment, textOf } from "./service-parts.ts";

/** Paths whose calls it takes. */
const PATHS: ReadonlySet<string> = new Set(["/responses", "/chat/completions", "/embeddings", "/completions", "/moderations"]);
const VERSION = "/v1";
const WINDOW = "24h";
const MARK = "gimbal_mark";
const PAGE = 100;
const UNANSWERED_STATUS = 502;
const ENDED: ReadonlySet<string> = new Set(["completed", "expired", "cancelled"]);

/**
 * The Batch API: lines are uploaded as a file, and so come the results. All lines of a batch go to one endpoint and one model. Source: the
 * `openai` package's types (7.57), `resources/batches` and `resources/files`, and the API reference's "request input" and "request output" objects.
 */
export const openaiBatches: BatchService = {
  mostLines: 50_000,
  mostBytes: 200_000_000,
  groupOf: (call) => (PATHS.has(barePath(call)) && !call.stream ? barePath(call) : undefined),
  line: (id, call) =>
    `{"custom_id":${JSON.stringify(id)},"method":"POST","url":${JSON.stringify(VERSION + barePath(call))},"body":${oneLine(call)}}`,
  upload: {
    send: ({ mark, lines }) => fileForm("/files", { purpose: "batch" }, mark, lines),
    read: ({ id }) => textOf(id),
  },
  create: ({ mark, group, file }) =>
    post("/batches", {
      input_file_id: file ?? "",
      endpoint: VERSION + group,
      completion_window: WINDOW,
      metadata: { [MARK]: mark },
    }),
  look: (id) => get(`/batches/${segment(id)}`),
  readStanding: standingOf,
  list: (after) => get(`/batches?limit=${PAGE}${after === undefined ? "" : `&after=${segment(after)}`}`),
  readList({ data, has_more: more }) {
    if (!Array.isArray(data)) return undefined;
    return {
      standings: (data as readonly Json[]).flatMap((each) => (isObject(each) ? (standingOf(each) ?? []) : [])),
      more: more === true,
    };
  },
  cancel: (id) => post(`/batches/${segment(id)}/cancel`),
  results: ({ files }) => files.map((file) => get(`/files/${segment(file)}/content`, "*/*")),
  readResult,
  forget: ({ files }, file) => [...files, ...(file === undefined ? [] : [file])].map((each) => remove(`/files/${segment(each)}`)),
};

function standingOf(answer: JsonObject): BatchStanding | undefined {
  const id = textOf(answer["id"]);
  const status = textOf(answer["status"]);
  if (id === undefined || status === undefined || answer["object"] !== "batch") return undefined;
  const { metadata, request_counts: counts, errors } = answer;
  const files = [textOf(answer["output_file_id"]), textOf(answer["error_file_id"])].filter((file) => file !== undefined);
  return {
    id,
    state: status === "failed" ? "refused" : ENDED.has(status) ? "ended" : "running",
    createdAt: secondsOf(answer["created_at"]),
    mark: isObject(metadata) ? textOf(metadata[MARK]) : undefined,
    lines: isObject(counts) ? countOf(counts["total"]) : undefined,
    message: messageOf(errors),
    files,
  };
}

function messageOf(errors: Json | undefined): string | undefined {
  const [first] = isObject(errors) && Array.isArray(errors["data"]) ? (errors["data"] as readonly Json[]) : [];
  return isObject(first) ? textOf(first["message"]) : undefined;
}

function readResult({ custom_id: id, response, error }: JsonObject): ServiceResult | undefined {
  if (typeof id !== "string") return undefined;
  if (isObject(response)) {
    const status = countOf(response["status_code"]);
    return status === undefined ? undefined : { id, outcome: "answered", status, body: response["body"] ?? null };
  }
  const code = isObject(error) ? error["code"] : undefined;
  if (code === "batch_expired") return { id, outcome: "expired" };
  if (code === "batch_cancelled") return { id, outcome: "cancelled" };
  return isObject(error) ? { id, outcome: "answered", status: UNANSWERED_STATUS, body: { error } } : undefined;
}
