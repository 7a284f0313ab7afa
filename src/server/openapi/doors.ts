import { type BatchDoor, type Dialect, type Door, type FileDoor, type JsonObject, type Operation } from "../../canon/index.ts";
import { framingOf } from "../../gateway/framing.ts";
import { mediaType } from "../../kit/index.ts";
import { SOME_STREAM, callHeaders } from "./parts.ts";
import { some, text } from "./shapes.ts";

/** A door as a path has it: the method, the path as routers write it, and what is said of it. */
export interface DoorOperation {
  readonly method: string;
  readonly path: string;
  readonly tag: string;
  readonly says: JsonObject;
}

const OPERATIONS: Readonly<Record<Operation, string>> = {
  generate: "Asks a model for an answer.",
  count_tokens: "Counts the tokens of a request.",
  compact: "Shortens a conversation.",
  realtime: "Opens a session.",
  embed: "Makes vectors of texts.",
  rerank: "Orders documents by a question.",
  moderate: "Judges content.",
  image: "Makes or changes images.",
  speech: "Speaks a text.",
  transcribe: "Writes down what is said.",
};
const TURNS = {
  read: "Reads an answer back.",
  delete: "Forgets an answer.",
  cancel: "Stops an answer.",
  items: "Lists what an answer was asked with.",
};
const FILES: Readonly<Record<FileDoor["does"], string>> = {
  upload: "Keeps a file.",
  list: "Lists files.",
  read: "Tells of a file.",
  content: "Gives a file's content.",
  delete: "Forgets a file.",
};
const BATCHES: Readonly<Record<BatchDoor["does"], string>> = {
  create: "Takes calls that nobody waits for.",
  list: "Lists batches.",
  read: "Tells of a batch.",
  cancel: "Stops a batch.",
  results: "Gives a batch's answers.",
  delete: "Forgets a batch.",
};
/** Tasks whose request may hold files comes as a form. */
const FORMS: ReadonlySet<Operation> = new Set(["image", "transcribe"]);

/** What the languages offer. Bodies and answers are those of each language's own reference; only what the gateway itself reads is named. */
export function doorOperations(dialects: Iterable<Dialect>): readonly DoorOperation[] {
  return [...dialects].flatMap((dialect) => {
    const says = (method: string, path: string, rest: JsonObject): DoorOperation => {
      const responses = { ...(rest["responses"] as JsonObject), default: { $ref: `#/components/responses/${dialect.id}` } };
      return { method, path, tag: dialect.title, says: { ...rest, security: securityOf(dialect), responses } };
    };
    return [
      ...dialect.doors.map((door) => says(door.method, door.path, ofDoor(dialect, door))),
      ...(dialect.files?.doors ?? []).map(({ method, path, does }) => says(method, path, ofFile(does))),
      ...(dialect.batches?.doors ?? []).map(({ method, path, does }) => says(method, path, ofBatch(does))),
      ...(dialect.realtime?.paths ?? []).map((path) => says("GET", path, SESSION)),
    ];
  });
}

const JSON_ANSWER: JsonObject = { responses: { 200: { description: "As asked.", content: { "application/json": { schema: some } } } } };
const SESSION: JsonObject = {
  summary: "Opens a session over a WebSocket.",
  responses: { 101: { description: "The connection is a WebSocket from here on; one JSON object a message, either way." } },
};

function ofDoor(dialect: Dialect, { method, path, does, params, webSocket }: Door): JsonObject {
  if (does.kind === "models")
    return {
      summary: does.action === "list" ? "Models that the caller may name." : "Tells of a model.",
      ...bodyFor(method),
      ...JSON_ANSWER,
    };
  if (does.kind === "greeting") return { summary: "Says what the server is like.", ...JSON_ANSWER };
  if (does.kind === "turn") return { summary: TURNS[does.action], ...JSON_ANSWER };
  const stream = mediaType(framingOf(dialect).contentType);
  const streams = does.operation === "generate" ? { [stream]: SOME_STREAM } : {};
  const whole =
    params?.["stream"] === "true"
      ? {}
      : { [does.operation === "speech" ? "audio/*" : "application/json"]: { schema: does.operation === "speech" ? text : some } };
  return {
    summary: OPERATIONS[does.operation],
    ...(webSocket === true && { description: "The same path takes a WebSocket, one call after another." }),
    parameters: callHeaders(does.operation),
    requestBody: requestBody(path, does.operation),
    responses: { 200: { description: "The answer.", headers: ANSWER_HEADERS, content: { ...whole, ...streams } } },
  };
}

const ANSWER_HEADERS: JsonObject = Object.fromEntries(
  ["x-gimbal-call-id", "x-gimbal-target", "x-gimbal-attempts", "x-gimbal-cache"].map((name) => [
    name,
    { $ref: `#/components/headers/${name}` },
  ]),
);

function bodyFor(method: string): JsonObject {
  return method === "POST" ? { requestBody: { required: true, content: { "application/json": { schema: some } } } } : {};
}

function requestBody(path: string, operation: Operation): JsonObject {
  const model: JsonObject = { type: "string", description: "An alias, or `provider/model`." };
  const schema: JsonObject = path.includes("{model") ? some : { type: "object", properties: { model } };
  const types = ["application/json", ...(FORMS.has(operation) ? ["multipart/form-data"] : [])];
  return { required: true, content: Object.fromEntries(types.map((type) => [type, { schema }])) };
}

function ofFile(does: FileDoor["does"]): JsonObject {
  const summary = FILES[does];
  if (does === "upload")
    return { summary, requestBody: { required: true, content: { "multipart/form-data": { schema: some } } }, ...JSON_ANSWER };
  if (does !== "content") return { summary, ...JSON_ANSWER };
  return { summary, responses: { 200: { description: "Its bytes.", content: { "application/octet-stream": { schema: text } } } } };
}

function ofBatch(does: BatchDoor["does"]): JsonObject {
  const summary = BATCHES[does];
  if (does === "results")
    return { summary, responses: { 200: { description: "A line for each call.", content: { "application/x-jsonl": SOME_STREAM } } } };
  return { summary, ...(does === "create" && bodyFor("POST")), ...JSON_ANSWER };
}

/** How a language tells a failure, shown by one. */
export function failureIn(dialect: Dialect): JsonObject {
  const { body } = dialect.encodeProblem({ kind: "invalid_request", message: "messages: is missing.", param: "messages" }, "req_example");
  return {
    description: "A failure, in the language's own shape.",
    headers: { "x-gimbal-problem": { $ref: "#/components/headers/x-gimbal-problem" } },
    content: { "application/json": { schema: some, example: body } },
  };
}

/** Headers by which keys travel; which of them a language reads, it is asked. */
const KEY_HEADERS = ["authorization", "x-api-key"];

/** Names of the ways in which a key is shown, as the components have them. */
export function securityNames(dialect: Dialect): readonly string[] {
  const headers = [...new Set([...KEY_HEADERS, ...Object.values(dialect.queryHeaders ?? {})])];
  return headers.filter((header) => dialect.credentials({ [header]: header === "authorization" ? "Bearer gk_a" : "gk_a" }) !== undefined);
}

function securityOf(dialect: Dialect): readonly JsonObject[] {
  // Where callers may be anonymous, none is needed.
  return [...securityNames(dialect).map((name): JsonObject => ({ [name]: [] })), {}];
}
