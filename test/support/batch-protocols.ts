import type { IncomingHttpHeaders } from "node:http";
import type { JsonObject } from "../../src/canon/index.ts";
import type { ServedAnswer, ServedBatch, ServedLine } from "./batch-service.ts";

/**
 * Two of the protocols, as their vendors document them: Mistral's batch jobs (types of `@mistralai/mistralai` 2.7, guide "Batch Inference")
 * and Gemini's `batchGenerateContent` (API reference "Batch API", guide, requests of `@google/genai` 3).
 */

type FileOf = (name: unknown) => string;

function parsed(text: string): readonly JsonObject[] {
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as JsonObject);
}

export function jobLines(order: JsonObject, fileOf: FileOf): readonly ServedLine[] {
  const { input_files: files, endpoint, model } = order as unknown as { input_files: readonly string[]; endpoint: string; model: string };
  const [file, ...more] = files;
  if (more.length > 0) throw new Error("there is more than one file");
  return parsed(fileOf(file)).map(({ custom_id: customId, body }) => {
    const line = body as JsonObject;
    if (line["model"] !== model) throw new Error(`a line is for another model than ${model}`);
    return { customId: customId as string, path: endpoint.replace(/^\/v1/, ""), body: line };
  });
}

const JOB_STATES = { running: "RUNNING", ended: "SUCCESS", failed: "FAILED", expired: "TIMEOUT_EXCEEDED", cancelled: "CANCELLED" } as const;

export function jobTold({ id, state, lines, createdAt, metadata }: ServedBatch, [output, errors]: readonly (string | null)[]): unknown {
  return {
    id,
    object: "batch",
    input_files: ["file-1"],
    endpoint: "/v1/chat/completions",
    metadata,
    status: JOB_STATES[state],
    created_at: Math.floor(createdAt / 1000),
    total_requests: lines.length,
    completed_requests: 0,
    succeeded_requests: 0,
    failed_requests: 0,
    errors: state === "failed" ? [{ message: "The file is no good.", count: 1 }] : [],
    output_file: output ?? null,
    error_file: errors ?? null,
  };
}

/** A line that was not answered is in neither file. */
export function jobResult({ customId }: ServedLine, answer: ServedAnswer | undefined): unknown {
  return answer && { id: `r-${customId}`, custom_id: customId, response: { status_code: answer.status, body: answer.body }, error: null };
}

/** The file in an upload of one request: what is said of it comes first. */
export function related(headers: IncomingHttpHeaders, body: Buffer): string {
  if (headers["x-goog-upload-protocol"] !== "multipart") throw new Error("the upload is of another protocol");
  const boundary = /^multipart\/related; boundary=(\S+)$/.exec(headers["content-type"] ?? "")?.[1] ?? "";
  const [, about = "", file = "", end] = body.toString().split(`--${boundary}`);
  const content = (part: string): string => part.slice(part.indexOf("\r\n\r\n") + 4, -2);
  const { file: told } = JSON.parse(content(about)) as { file?: { mimeType?: string } };
  if (told?.mimeType !== "application/jsonl" || end !== "--\r\n") throw new Error("the upload is not well formed");
  return content(file);
}

export function operationLines({ batch }: JsonObject, path: string, fileOf: FileOf): readonly ServedLine[] {
  const { displayName, inputConfig } = batch as { displayName?: string; inputConfig: { fileName: string } };
  if (displayName === undefined) throw new Error("a batch must have a display name");
  const model = /^\/v1beta(\/models\/[^/]+):batchGenerateContent$/.exec(path)?.[1] ?? "";
  return parsed(fileOf(inputConfig.fileName.replace(/^files\//, ""))).map(({ key, request }) => {
    return { customId: key as string, path: `${model}:generateContent`, body: request as JsonObject };
  });
}

const STATES = { running: "RUNNING", ended: "SUCCEEDED", failed: "FAILED", expired: "EXPIRED", cancelled: "CANCELLED" } as const;
const CODES: Readonly<Record<number, number>> = { 400: 3, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14 };

/** A batch that expired has no results. */
export function operationTold({ id, state, lines, createdAt, metadata }: ServedBatch, [output]: readonly (string | null)[]): unknown {
  const results = state === "expired" || !output ? {} : { responsesFile: `files/${output}` };
  const isOver = state !== "running";
  return {
    name: `batches/${id}`,
    metadata: {
      "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
      displayName: metadata,
      createTime: new Date(createdAt).toISOString(),
      batchStats: { requestCount: String(lines.length), pendingRequestCount: String(lines.length) },
      state: `BATCH_STATE_${STATES[state]}`,
      name: `batches/${id}`,
      ...(isOver && { output: results }),
    },
    ...(isOver && { done: true }),
    ...(state === "ended" && { response: results }),
    ...(state === "failed" && { error: { code: 3, message: "The file is no good." } }),
    ...(state === "cancelled" && { error: { code: 1, message: "The batch was cancelled." } }),
  };
}

export function operationResult({ customId }: ServedLine, answer: ServedAnswer | undefined): unknown {
  if (!answer) return undefined;
  if (answer.status === 200) return { key: customId, response: answer.body };
  const { error } = answer.body as { error: { message: string } };
  return { key: customId, error: { code: CODES[answer.status] ?? 13, message: error.message } };
}
