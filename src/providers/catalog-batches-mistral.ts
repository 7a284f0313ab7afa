import type { BatchService, BatchStanding, Json, JsonObject, ServiceResult } from "../canon/index.ts";
import { barePath, countOf, fileForm, get, isObject, oneLine, post, remove, secondsOf, segment, textOf } from "./service-parts.ts";

/** Paths whose calls it takes, of those that calls go to here. */
const PATHS: ReadonlySet<string> = new Set(["/chat/completions", "/embeddings", "/moderations"]);
const VERSION = "/v1";
const JOBS = "/batch/jobs";
const MARK = "gimbal_mark";
const PAGE = 100;
const UNANSWERED_STATUS = 502;
/** A file may have 512 MB, with the form around it. */
const MOST_BYTES = 500_000_000;

/** What a job that goes no further makes of lines without a result. A state that is not known here may be one on the way. */
const RESTS: ReadonlyMap<string, BatchStanding["rest"]> = new Map([
  ["TIMEOUT_EXCEEDED", "expired"],
  ["CANCELLED", "cancelled"],
]);

/**
 * Batch jobs: lines are uploaded as a file, and so come the results. The order names the endpoint and the model of all lines. Source: the
 * `@mistralai/mistralai` package's types (2.7), `models/components/batchjob` and `operations/jobsapiroutesbatch*`, and the guide "Batch
 * Inference" for the lines and the limits.
 */
export const mistralBatches: BatchService = {
  mostLines: 1_000_000,
  mostBytes: MOST_BYTES,
  groupOf: (call) => (PATHS.has(barePath(call)) && !call.stream ? `${barePath(call)} ${call.model}` : undefined),
  line: (id, call) => `{"custom_id":${JSON.stringify(id)},"body":${oneLine(call)}}`,
  upload: {
    send: ({ mark, lines }) => fileForm("/files", { purpose: "batch" }, mark, lines),
    read: ({ id }) => textOf(id),
  },
  create({ mark, group, file }) {
    const end = group.indexOf(" ");
    return post(JOBS, {
      input_files: [file ?? ""],
      endpoint: VERSION + group.slice(0, end),
      model: group.slice(end + 1),
      metadata: { [MARK]: mark },
    });
  },
  look: (id) => get(`${JOBS}/${segment(id)}`),
  readStanding: standingOf,
  list: (after) => get(`${JOBS}?page=${pageOf(after)}&page_size=${PAGE}&order_by=-created`),
  readList({ data = [] }, after) {
    if (!Array.isArray(data)) return undefined;
    const standings = (data as readonly Json[]).flatMap((each) => (isObject(each) ? (standingOf(each) ?? []) : []));
    // How long a page is, is the service's to say: only an empty one is surely the last.
    return { standings, more: data.length > 0, next: String(pageOf(after) + 1) };
  },
  cancel: (id) => post(`${JOBS}/${segment(id)}/cancel`),
  results: ({ files }) => files.map((file) => get(`/files/${segment(file)}/content`, "*/*")),
  readResult,
  forget: ({ id, files }, file) => [
    ...[...files, ...(file === undefined ? [] : [file])].map((each) => remove(`/files/${segment(each)}`)),
    remove(`${JOBS}/${segment(id)}`),
  ],
};

/** Pages have numbers, from 0. */
function pageOf(after: string | undefined): number {
  return after === undefined ? 0 : Number(after);
}

function standingOf(answer: JsonObject): BatchStanding | undefined {
  const id = textOf(answer["id"]);
  const status = textOf(answer["status"]);
  if (id === undefined || status === undefined || (answer["object"] ?? "batch") !== "batch") return undefined;
  const { metadata } = answer;
  const files = [textOf(answer["output_file"]), textOf(answer["error_file"])].filter((file) => file !== undefined);
  return {
    id,
    state: stateOf(status, files.length > 0 || (countOf(answer["succeeded_requests"]) ?? 0) > 0),
    createdAt: secondsOf(answer["created_at"]),
    // It keeps marks: a job without one is somebody else's.
    mark: (isObject(metadata) ? textOf(metadata[MARK]) : undefined) ?? "",
    lines: countOf(answer["total_requests"]),
    message: messageOf(answer["errors"]),
    files,
    rest: RESTS.get(status),
  };
}

function stateOf(status: string, isBegun: boolean): BatchStanding["state"] {
  if (status === "FAILED") return isBegun ? "ended" : "refused";
  return status === "SUCCESS" || RESTS.has(status) ? "ended" : "running";
}

function messageOf(errors: Json | undefined): string | undefined {
  const [first] = Array.isArray(errors) ? (errors as readonly Json[]) : [];
  return isObject(first) ? textOf(first["message"]) : undefined;
}

function readResult({ custom_id: id, response, error }: JsonObject): ServiceResult | undefined {
  if (typeof id !== "string") return undefined;
  const status = isObject(response) ? countOf(response["status_code"]) : undefined;
  if (isObject(response) && status !== undefined) return { id, outcome: "answered", status, body: response["body"] ?? null };
  // What went wrong is said in words, or in an object with such.
  const said = isObject(error) ? error : textOf(error) === undefined ? undefined : { message: error ?? null };
  return said && { id, outcome: "answered", status: UNANSWERED_STATUS, body: { error: said } };
}
