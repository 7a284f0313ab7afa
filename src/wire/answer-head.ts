import { STATUS_CODES } from "node:http";
import { fieldName, isFieldValue, isFraming } from "./fields.ts";

/** What stands before an answer's body. How the body is framed and whether the connection lives on is decided by the wire. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes of the body; undefined where it is streamed or where there can be none. */
  readonly length: number | undefined;
  /** No body follows, whatever the headers say (HEAD, 204, 304). */
  readonly bodiless: boolean;
  /** The connection cannot be used again: part of the request was not read, or the front end closes. */
  readonly close: boolean;
}

export function reasonOf(status: number): string {
  return STATUS_CODES[status] ?? "Unknown";
}

/** Name and value in turn, without the names and values that cannot be headers: a line break smuggled in from outside must not end one. */
export function headerList(head: AnswerHead): string[] {
  const list: string[] = [];
  for (const name in head.headers) {
    const value = head.headers[name];
    if (value !== undefined && isSendable(name, value)) list.push(name, value);
  }
  if (head.length !== undefined) list.push("content-length", String(head.length));
  if (head.close) list.push("connection", "close");
  return list;
}

/** Status line and header lines, each ended, without those that cannot be headers; the blank line is still to come. */
export function headerLines(head: AnswerHead): string {
  let lines = `HTTP/1.1 ${head.status} ${reasonOf(head.status)}\r\n`;
  for (const name in head.headers) {
    const value = head.headers[name];
    if (value !== undefined && isSendable(name, value)) lines += `${name}: ${value}\r\n`;
  }
  if (head.length !== undefined) lines += `content-length: ${head.length}\r\n`;
  return head.close ? `${lines}connection: close\r\n` : lines;
}

/** A complete answer in words, after which the connection ends. */
export function plainAnswer(status: number, problem: string, sentence: string, retryAfterSeconds?: number): string {
  const retry = retryAfterSeconds === undefined ? "" : `retry-after: ${retryAfterSeconds}\r\n`;
  return (
    `HTTP/1.1 ${status} ${reasonOf(status)}\r\ncontent-type: text/plain; charset=utf-8\r\nx-gimbal-problem: ${problem}\r\n${retry}` +
    `content-length: ${Buffer.byteLength(sentence) + 1}\r\nconnection: close\r\n\r\n${sentence}\n`
  );
}

function isSendable(name: string, value: string): boolean {
  return fieldName(name) !== undefined && isFieldValue(value) && !isFraming(name);
}
