import type { BatchService, BatchStanding, Json, JsonObject, ServiceResult } from "../canon/index.ts";
import { barePath, countOf, get, isObject, oneLine, post, remove, segment, textOf } from "./service-parts.ts";

const MESSAGES = "/messages";
const BATCHES = "/messages/batches";
const PAGE = 100;
/** The rest of a request around its lines takes less. */
const ROOM_BYTES = 1_000_000;
const COMMA = ",".charCodeAt(0);
const NEWLINE = 10;

/** What each kind of error would have been answered with, outside of a batch. Source: the API's page on errors. */
const STATUSES: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};
const UNKNOWN_STATUS = 500;

/**
 * Message Batches: the calls come with the order itself, and nothing of the order can be marked: it is found again by the ids of its lines.
 * Version and opt-ins are said once for all of them. Source: the SDK's types (0.137.0), `resources/messages/batches`.
 */
export const anthropicBatches: BatchService = {
  mostLines: 100_000,
  mostBytes: 256_000_000 - ROOM_BYTES,
  groupOf: (call) => (barePath(call) === MESSAGES && !call.stream ? JSON.stringify(call.request.headers) : undefined),
  line: (id, call) => `{"custom_id":${JSON.stringify(id)},"params":${oneLine(call)}}`,
  create: ({ group, lines }) => post(BATCHES, ordered(lines), JSON.parse(group) as Readonly<Record<string, string>>),
  look: (id) => get(`${BATCHES}/${segment(id)}`),
  readStanding: standingOf,
  list: (after) => get(`${BATCHES}?limit=${PAGE}${after === undefined ? "" : `&after_id=${segment(after)}`}`),
  readList({ data, has_more: more }) {
    if (!Array.isArray(data)) return undefined;
    return {
      standings: (data as readonly Json[]).flatMap((each) => (isObject(each) ? (standingOf(each) ?? []) : [])),
      more: more === true,
    };
  },
  cancel: (id) => post(`${BATCHES}/${segment(id)}/cancel`),
  results: ({ id }) => [get(`${BATCHES}/${segment(id)}/results`, "*/*")],
  readResult,
  forget: ({ id }) => [remove(`${BATCHES}/${segment(id)}`)],
};

/** Lines become members of a list: every end of a line but the last a comma. No line has one within. */
function ordered(lines: Buffer): Buffer {
  const members = Buffer.from(lines.subarray(0, -1));
  for (let at = members.indexOf(NEWLINE); at >= 0; at = members.indexOf(NEWLINE, at)) members[at] = COMMA;
  return Buffer.concat([Buffer.from('{"requests":['), members, Buffer.from("]}")]);
}

function standingOf(answer: JsonObject): BatchStanding | undefined {
  const { id, type, processing_status: status, created_at: createdAt, request_counts: counts } = answer;
  if (typeof id !== "string" || type !== "message_batch" || typeof status !== "string") return undefined;
  const all = isObject(counts) ? Object.values(counts).map(countOf) : [];
  return {
    id,
    state: status === "ended" ? "ended" : "running",
    createdAt: typeof createdAt === "string" ? Date.parse(createdAt) || 0 : 0,
    mark: undefined,
    lines: all.length === 0 || all.includes(undefined) ? undefined : all.reduce<number>((sum, count) => sum + (count ?? 0), 0),
    message: undefined,
    files: [],
  };
}

function readResult({ custom_id: id, result }: JsonObject): ServiceResult | undefined {
  if (typeof id !== "string" || !isObject(result)) return undefined;
  const { type, message, error } = result;
  if (type === "succeeded") return isObject(message) ? { id, outcome: "answered", status: 200, body: message } : undefined;
  if (type === "expired") return { id, outcome: "expired" };
  if (type === "canceled") return { id, outcome: "cancelled" };
  if (type !== "errored" || !isObject(error)) return undefined;
  const kind = isObject(error["error"]) ? textOf(error["error"]["type"]) : undefined;
  return { id, outcome: "answered", status: (kind === undefined ? undefined : STATUSES[kind]) ?? UNKNOWN_STATUS, body: error };
}
