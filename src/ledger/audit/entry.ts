import type { AuditNote } from "../../canon/index.ts";

/** An entry's text, read. */
export interface Entry extends AuditNote {
  readonly sequence: number;
  /** Hash of the entry before, lower-case hex. */
  readonly previous: string;
}

/** Undefined when the text is none of an entry. */
export function parseEntry(text: string): Entry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { sequence, previous } = value as Partial<Entry>;
  return typeof sequence === "number" && Number.isSafeInteger(sequence) && typeof previous === "string" ? (value as Entry) : undefined;
}
