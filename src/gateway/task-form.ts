import { ProblemError, type Json, type JsonObject, type TaskFile, type UpstreamCall } from "../canon/index.ts";
import { boundaryOf, partText, replaceParts, type FormPart } from "../kit/index.ts";
import type { Form } from "./task.ts";

type Headers = UpstreamCall["request"]["headers"];
type Sent = Pick<UpstreamCall["request"], "headers" | "body">;

/**
 * The client's form with some of its fields said otherwise (a text) or left out (undefined); every other byte stays. @throws ProblemError
 * invalid_request
 */
export function inForm(form: Form, headers: Headers, fields: Readonly<Record<string, Json | undefined>>): Sent {
  const edits: { part: FormPart; text: string }[] = [];
  const added: { name: string; text: string }[] = [];
  const left: FormPart[] = [];
  for (const [name, value] of Object.entries(fields)) {
    const part = form.parts.find((one) => one.name === name);
    if (value === undefined && part) left.push(part);
    const text = fieldText(value);
    if (text === undefined) continue;
    if (!part) added.push({ name, text });
    else if (part.fileName === undefined && partText(form.bytes, part) !== text) edits.push({ part, text });
  }
  const boundary = boundaryOf(form.contentType) ?? "";
  // What holds the boundary would end its part and begin another.
  if ([...edits, ...added].some(({ text }) => text.includes(`--${boundary}`)))
    throw new ProblemError({ kind: "invalid_request", message: "A field of the form would hold the form's own boundary." });
  const first = added.map(({ name, text }) => fieldPart(boundary, name, text)).join("");
  const whole = left.length === 0 ? replaceParts(form.bytes, edits) : rest(form, edits, left, boundary);
  return { headers: { ...headers, "content-type": form.contentType }, body: Buffer.concat([Buffer.from(first), whole]) };
}

/** The form without some of its parts; the others keep their headers. */
function rest(form: Form, edits: readonly { part: FormPart; text: string }[], left: readonly FormPart[], boundary: string): Uint8Array {
  const pieces: (Buffer | Uint8Array)[] = [];
  for (const part of form.parts) {
    if (left.includes(part)) continue;
    const edit = edits.find((one) => one.part === part);
    const content = edit ? Buffer.from(edit.text) : form.bytes.subarray(part.start, part.end);
    pieces.push(Buffer.from(partHead(boundary, part.name, part.fileName, part.contentType)), content, Buffer.from("\r\n"));
  }
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]);
}

/** A form of our own. `boundary`: letters and digits that no file holds. */
export function formOf(fields: JsonObject, files: readonly TaskFile[], headers: Headers, boundary: string): Sent {
  const pieces: (Buffer | Uint8Array)[] = [];
  for (const [name, value] of Object.entries(fields))
    for (const one of Array.isArray(value) ? (value as readonly Json[]) : [value]) {
      const text = fieldText(one);
      if (text !== undefined) pieces.push(Buffer.from(fieldPart(boundary, name, text)));
    }
  for (const { field, name, contentType, bytes } of files)
    pieces.push(Buffer.from(partHead(boundary, field, name, contentType)), bytes, Buffer.from("\r\n"));
  const body = Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]);
  return { headers: { ...headers, "content-type": `multipart/form-data; boundary=${boundary}` }, body };
}

/** Forms say everything as text; what has members, and files, they do not. */
function fieldText(value: Json | undefined): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

function fieldPart(boundary: string, name: string, text: string): string {
  return `${partHead(boundary, name, undefined, undefined)}${text}\r\n`;
}

function partHead(boundary: string, name: string, fileName: string | undefined, contentType: string | undefined): string {
  const file = fileName === undefined ? "" : `; filename="${quoted(fileName)}"`;
  const type = contentType === undefined ? "" : `Content-Type: ${contentType.replaceAll(/[^\x20-\x7e]/g, "")}\r\n`;
  return `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"${file}\r\n${type}\r\n`;
}

/** A quote would end the name, a line's end its header. */
function quoted(name: string): string {
  return name.replaceAll(/[\r\n]/g, " ").replaceAll(/["\\]/g, (letter) => `\\${letter}`);
}
