import type { Json, JsonObject, ServiceRequest, UpstreamCall } from "../canon/index.ts";

const SECOND_MS = 1000;
const JSONL = "application/jsonl";
/** The version that a path begins with, where its language names one. */
const VERSION = /^\/v\d+\//;

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
export function textOf(value: Json | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
export function countOf(value: Json | undefined): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
/** Seconds since 1970 as milliseconds; 0: unknown. */
export function secondsOf(value: Json | undefined): number {
  return (countOf(value) ?? 0) * SECOND_MS;
}

export function get(path: string, accept?: string): ServiceRequest {
  return { method: "GET", path, headers: accept === undefined ? {} : { accept }, body: "" };
}
export function post(
  path: string,
  body: JsonObject | string | Buffer = "",
  headers: Readonly<Record<string, string>> = {},
): ServiceRequest {
  return { method: "POST", path, headers, body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body) };
}
export function remove(path: string): ServiceRequest {
  return { method: "DELETE", path, headers: {}, body: "" };
}
/** Ids come from outside: they never become anything but one segment. */
export function segment(id: string): string {
  return encodeURIComponent(id).replaceAll(".", "%2E");
}

/** A form with one file of lines. */
export function fileForm(path: string, fields: Readonly<Record<string, string>>, name: string, content: Buffer): ServiceRequest {
  const boundary = `lines-${name}`;
  const part = (head: string): string => `--${boundary}\r\ncontent-disposition: form-data; ${head}\r\n`;
  const before = Object.entries(fields).map(([key, value]) => `${part(`name="${key}"`)}\r\n${value}\r\n`);
  const file = `${part(`name="file"; filename="${name}.jsonl"`)}content-type: ${JSONL}\r\n\r\n`;
  const body = Buffer.concat([Buffer.from(before.join("") + file), content, Buffer.from(`\r\n--${boundary}--\r\n`)]);
  return post(path, body, { "content-type": `multipart/form-data; boundary=${boundary}` });
}

/** The path of a call below its version. */
export function barePath({ request }: UpstreamCall): string {
  return request.path.replace(VERSION, "/");
}

/** A body in one line. */
export function oneLine({ request }: UpstreamCall): string {
  const text = request.body.toString();
  return /[\r\n]/.test(text) ? JSON.stringify(JSON.parse(text)) : text;
}
