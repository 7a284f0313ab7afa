import type { Json, TaskBody, TaskFile } from "../canon/index.ts";
import { boundaryOf, partText, readForm, type FormPart } from "../kit/index.ts";

export type TaskForm =
  | { readonly ok: true; readonly body: TaskBody; readonly parts: readonly FormPart[] }
  | { readonly ok: false; readonly message: string };

/** Bytes of a form's field that is no file. */
const FIELD_BYTES = 256 * 1024;

/**
 * A form as the codecs read it. A file stands among the fields as `{ fileName, contentType, bytes, hash }`, so that two forms with equal
 * fields are equal forms. A field that is given twice is refused, unless its name says that it is a list: `include[]`.
 */
export function openForm(bytes: Uint8Array, contentType: string | undefined, hash: (bytes: Uint8Array) => string): TaskForm {
  const boundary = boundaryOf(contentType ?? "");
  if (boundary === undefined)
    return { ok: false, message: "This takes a form: its content type must be multipart/form-data with a boundary." };
  const form = readForm(bytes, boundary);
  if (!form.ok) return form;
  const fields = new Map<string, Json>();
  const files: TaskFile[] = [];
  for (const part of form.parts) {
    const value = part.fileName === undefined ? fieldOf(bytes, part) : undefined;
    if (part.fileName === undefined && value === undefined)
      return { ok: false, message: `The form's field "${part.name.slice(0, 64)}" is larger than ${FIELD_BYTES} bytes, or no UTF-8.` };
    let entry: Json = value ?? "";
    if (value === undefined) {
      const file = fileOf(bytes, part);
      files.push(file);
      entry = { fileName: file.name, contentType: file.contentType, bytes: file.bytes.length, hash: hash(file.bytes) };
    }
    const before = fields.get(part.name);
    if (!part.name.endsWith("[]")) {
      if (before !== undefined) return { ok: false, message: `The form has the field "${part.name.slice(0, 64)}" twice.` };
      fields.set(part.name, entry);
    } else fields.set(part.name, Array.isArray(before) ? [...(before as readonly Json[]), entry] : [entry]);
  }
  return { ok: true, body: { fields: Object.fromEntries(fields), files }, parts: form.parts };
}

function fieldOf(bytes: Uint8Array, part: FormPart): string | undefined {
  return part.end - part.start > FIELD_BYTES ? undefined : partText(bytes, part);
}

function fileOf(bytes: Uint8Array, { name, fileName = "", contentType = "application/octet-stream", start, end }: FormPart): TaskFile {
  return { field: name, name: fileName, contentType, bytes: bytes.subarray(start, end) };
}
