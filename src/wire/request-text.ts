import { fieldName, isFieldValue, isFraming } from "./fields.ts";

/** Methods whose requests state a length even where there is no body (RFC 9110, section 8.6). */
const WITH_CONTENT: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);
const NOT_IN_TARGET = /[^\x21-\x7e\x80-\xff]/;

/**
 * Request line and header lines, with the blank line, in Latin-1; undefined when the request cannot be written as HTTP.
 * @param bodyBytes `chunked`: not known before its end
 */
export function requestHead(
  method: string,
  target: string,
  host: string,
  headers: Readonly<Record<string, string>>,
  bodyBytes: number | "chunked" | undefined,
): string | undefined {
  if (fieldName(method) === undefined || NOT_IN_TARGET.test(target)) return undefined;
  let lines = "";
  let named = false;
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined) continue;
    const lower = fieldName(name);
    if (lower === undefined || !isFieldValue(value)) return undefined;
    // Frames are forwarded as they come, and compressed ones could not be: what is accepted is said below.
    if (isFraming(name) || lower === "accept-encoding") continue;
    if (lower === "host") named = true;
    lines += `${name}: ${value}\r\n`;
  }
  const length = bodyBytes ?? (WITH_CONTENT.has(method) ? 0 : undefined);
  const hostLine = named ? "" : `host: ${host}\r\n`;
  const lengthLine = length === undefined ? "" : length === "chunked" ? "transfer-encoding: chunked\r\n" : `content-length: ${length}\r\n`;
  return `${method} ${target} HTTP/1.1\r\n${hostLine}${lines}accept-encoding: identity\r\n${lengthLine}\r\n`;
}
