import type { BatchService, BatchStanding, Json, JsonObject, ServiceOrder, ServiceRequest, ServiceResult } from "../canon/index.ts";
import { countOf, get, isObject, oneLine, post, remove, segment, textOf } from "./service-parts.ts";

const LANGUAGE = "gemini";
/** Calls of one model; its name as the path has it. */
const GENERATE = /^\/(models\/[^/:?]+):generateContent$/;
const BATCH = /^batches\/([^/]+)$/;
const FILE = /^files\/([^/]+)$/;
/** Both beginnings are told: the guide has one, the reference the other. */
const STATE = /^(?:BATCH|JOB)_STATE_(\w+)$/;
const UPLOAD = "/upload/v1beta/files";
const JSONL = "application/jsonl";
const PAGE = 100;
/** The service names no number. This many can be read again within the time that results are tried for. */
const MOST_LINES = 100_000;
/** A file may have 2 GB, with what is said of it. */
const MOST_BYTES = 1_900_000_000;

/** What became of lines without a result in a batch that goes no further. A state that is not known here may be one on the way. */
const RESTS: ReadonlyMap<string, BatchStanding["rest"]> = new Map([
  ["EXPIRED", "expired"],
  ["CANCELLED", "cancelled"],
]);

/** Codes of errors, as HTTP has them. Source: `google/rpc/code.proto`. */
const STATUSES: Readonly<Record<number, number>> = {
  3: 400,
  4: 504,
  5: 404,
  7: 403,
  8: 429,
  9: 400,
  10: 409,
  11: 400,
  12: 501,
  13: 500,
  14: 503,
  16: 401,
};
const CANCELLED_CODE = 1;
const UNKNOWN_STATUS = 500;

/**
 * `batchGenerateContent`: lines are uploaded as a file, each with its key, and so come the results. The order is found again by its display
 * name. Source: the Gemini API's reference "Batch API" and its guide, the types and requests of `@google/genai` (3), and for uploads in one
 * request the guide to Google's media uploads.
 */
export const geminiBatches: BatchService = {
  dialects: [LANGUAGE],
  mostLines: MOST_LINES,
  mostBytes: MOST_BYTES,
  groupOf: ({ request, stream }) => (stream ? undefined : GENERATE.exec(request.path)?.[1]),
  line: (id, call) => `{"key":${JSON.stringify(id)},"request":${oneLine(call)}}`,
  upload: {
    send: upload,
    read: ({ file }) => (isObject(file) ? nameIn(FILE, file["name"]) : undefined),
  },
  create: ({ mark, group, file }) =>
    post(`/${group}:batchGenerateContent`, { batch: { displayName: mark, inputConfig: { fileName: `files/${file ?? ""}` } } }),
  look: (id) => get(`/batches/${segment(id)}`),
  readStanding: standingOf,
  list: (after) => get(`/batches?pageSize=${PAGE}${after === undefined ? "" : `&pageToken=${encodeURIComponent(after)}`}`),
  // An empty list is left out of an answer.
  readList({ operations = [], nextPageToken }) {
    if (!Array.isArray(operations)) return undefined;
    const next = textOf(nextPageToken);
    return {
      standings: (operations as readonly Json[]).flatMap((each) => (isObject(each) ? (standingOf(each) ?? []) : [])),
      more: next !== undefined,
      ...(next !== undefined && { next }),
      inAnyOrder: true,
    };
  },
  cancel: (id) => post(`/batches/${segment(id)}:cancel`),
  results: ({ files }) => files.map((file) => get(`/files/${segment(file)}:download?alt=media`, "*/*")),
  readResult,
  forget: ({ id, files }, file) => [
    ...[...files, ...(file === undefined ? [] : [file])].map((each) => remove(`/files/${segment(each)}`)),
    remove(`/batches/${segment(id)}`),
  ],
};

/** What is said of the file, and the file, in one request. */
function upload({ mark, lines }: ServiceOrder): ServiceRequest {
  const boundary = `lines-${mark}`;
  const part = (type: string): string => `--${boundary}\r\ncontent-type: ${type}\r\n\r\n`;
  const about = JSON.stringify({ file: { displayName: mark, mimeType: JSONL } });
  const before = Buffer.from(`${part("application/json; charset=utf-8")}${about}\r\n${part(JSONL)}`);
  return post(UPLOAD, Buffer.concat([before, lines, Buffer.from(`\r\n--${boundary}--\r\n`)]), {
    "content-type": `multipart/related; boundary=${boundary}`,
    "x-goog-upload-protocol": "multipart",
  });
}

/** What follows the kind in a resource's name. */
function nameIn(kind: RegExp, name: Json | undefined): string | undefined {
  return kind.exec(textOf(name) ?? "")?.[1];
}

/** An operation; what the batch itself says is its metadata. */
function standingOf(answer: JsonObject): BatchStanding | undefined {
  const id = nameIn(BATCH, answer["name"]);
  if (id === undefined) return undefined;
  const { metadata, response, error } = answer;
  const batch = isObject(metadata) ? metadata : answer;
  const { output, batchStats: stats, createTime } = batch;
  const file = [response, output].flatMap((each) => (isObject(each) ? (nameIn(FILE, each["responsesFile"]) ?? []) : []))[0];
  const state = STATE.exec(textOf(batch["state"]) ?? "")?.[1] ?? "";
  const isBegun = file !== undefined || (isObject(stats) && (longOf(stats["successfulRequestCount"]) ?? 0) > 0);
  return {
    id,
    state: stateOf(state, isBegun),
    createdAt: Date.parse(textOf(createTime) ?? "") || 0,
    // It keeps names: a batch without one is somebody else's.
    mark: textOf(batch["displayName"]) ?? "",
    lines: isObject(stats) ? longOf(stats["requestCount"]) : undefined,
    message: isObject(error) ? textOf(error["message"]) : undefined,
    files: file === undefined ? [] : [file],
    rest: RESTS.get(state),
  };
}

function stateOf(state: string, isBegun: boolean): BatchStanding["state"] {
  if (state === "FAILED") return isBegun ? "ended" : "refused";
  return state === "SUCCEEDED" || RESTS.has(state) ? "ended" : "running";
}

/** Whole numbers of 64 bits come as text. */
function longOf(value: Json | undefined): number | undefined {
  return countOf(typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value);
}

function readResult({ key: id, response, error }: JsonObject): ServiceResult | undefined {
  if (typeof id !== "string") return undefined;
  if (isObject(response)) return { id, outcome: "answered", status: 200, body: response };
  if (!isObject(error)) return undefined;
  const code = countOf(error["code"]);
  if (code === CANCELLED_CODE) return { id, outcome: "cancelled" };
  const status = httpStatus(code ?? 0);
  return { id, outcome: "answered", status, body: { error: { ...error, code: status } } };
}

function httpStatus(code: number): number {
  return code >= 400 && code < 600 ? code : (STATUSES[code] ?? UNKNOWN_STATUS);
}
