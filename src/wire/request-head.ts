import type { Headers } from "../canon/index.ts";
import { contentLength, readFields } from "./fields.ts";

/** A request without surprises. */
export interface PlainHead {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  /** Bytes of the head, with the blank line. */
  readonly size: number;
  /** Bytes of the body that follows. */
  readonly length: number;
  /** The client wants the connection closed after the answer. */
  readonly close: boolean;
}

const METHODS: ReadonlySet<string> = new Set(["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const VERSION = " HTTP/1.1";
/** Origin form (RFC 9112, section 3.2.1) in the characters of RFC 3986. */
const TARGET = /^\/[A-Za-z0-9\-._~:/?@!$&'()*+,;=%[\]]*$/;
/** Each of these makes it a matter of more than a head and a length; `proxy-connection` because old clients mean `connection` by it. */
const SPECIAL = ["transfer-encoding", "upgrade", "expect", "trailer", "proxy-connection"] as const;

/**
 * The head of a request that two parsers cannot read differently: complete, HTTP/1.1, every line strictly well-formed, no name twice, a
 * body of a stated length or none. Undefined for everything else, be it wrong, unfinished or only unusual.
 */
export function readPlainHead(bytes: Buffer, maxHeaderBytes: number): PlainHead | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0 || end > maxHeaderBytes) return undefined;
  const text = bytes.toString("latin1", 0, end + 2);
  const line = text.indexOf("\r\n");
  const space = text.indexOf(" ");
  const targetEnd = line - VERSION.length;
  if (space < 0 || space >= targetEnd || !text.startsWith(VERSION, targetEnd)) return undefined;
  const method = text.slice(0, space);
  const target = text.slice(space + 1, targetEnd);
  if (!METHODS.has(method) || !TARGET.test(target)) return undefined;

  const headers: Record<string, string | undefined> = {};
  if (readFields(text, line + 2, headers) !== "valid" || headers["host"] === undefined) return undefined;
  for (const name of SPECIAL) if (headers[name] !== undefined) return undefined;
  const length = contentLength(headers["content-length"] ?? "0");
  const close = closes(headers["connection"]);
  if (length === undefined || close === undefined) return undefined;

  const mark = target.indexOf("?");
  return {
    method,
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? "" : target.slice(mark + 1),
    headers,
    size: end + 4,
    length,
    close,
  };
}

function closes(connection: string | undefined): boolean | undefined {
  if (connection === undefined) return false;
  switch (connection.toLowerCase()) {
    case "keep-alive":
      return false;
    case "close":
      return true;
    default:
      return undefined;
  }
}
