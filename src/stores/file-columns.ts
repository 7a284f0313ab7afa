import type { Batch, KeptFile, KeptLine, LineOutcome } from "../canon/index.ts";

/** Files and batches as every engine has them in its tables. */
export interface FileColumns {
  readonly id: string;
  readonly purpose: string;
  readonly bytes: number;
  readonly created_at: number;
  readonly expires_at: number;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}
export interface BatchColumns {
  readonly scope: string;
  readonly id: string;
  readonly cancelled_at: number | null;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}
export interface LineColumns {
  readonly id: string;
  readonly outcome: LineOutcome;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}

/** A file whose name is opened. */
export type FileRow = Omit<KeptFile, "scope">;
export interface BatchRow {
  readonly cancelledAt: number | null;
  readonly content: string;
}

/** Of a list: whose, how many, behind which (`null`: from the beginning), and is the oldest the first? */
export type PageArgs = readonly [scope: string, limit: number, after: string | null, oldestFirst: boolean];

export type FileWrite =
  | "keepPiece"
  | "keepFile"
  | "deleteFile"
  | "expireFiles"
  | "createBatch"
  | "leaseBatches"
  | "releaseBatches"
  | "updateBatch"
  | "cancelBatch"
  | "keepLine"
  | "deleteBatch";
export type FileRead = "file" | "files" | "filePiece" | "batch" | "batches" | "batchCounts" | "batchLines" | "batchLinesDone";

const PIECE_DIGITS = 8;
const LINE_DIGITS = 9;

/** Pieces and lines stand behind their owner's id and a slash; no id has one. */
export function pieceId(file: string, place: number): string {
  return `${file}/${String(place).padStart(PIECE_DIGITS, "0")}`;
}
export function lineId(batch: string, line: number): string {
  return `${batch}/${String(line).padStart(LINE_DIGITS, "0")}`;
}
export function lineOf(id: string): number {
  return Number(id.slice(-LINE_DIGITS));
}
/** What stands behind an id lies between these two: `0` is the character after the slash. */
export function behind(id: string): readonly [from: string, to: string] {
  return [`${id}/`, `${id}0`];
}

export function fileRow({ id, purpose, bytes, created_at, expires_at }: FileColumns, name: string): FileRow {
  return { id, purpose, bytes, createdAt: created_at, expiresAt: expires_at, name };
}

export function lineFrom({ id, outcome }: LineColumns, text: string): KeptLine {
  return { line: lineOf(id), outcome, text };
}

/** What others may say of a batch stands in columns of its own. */
export function packBatch({ cancelledAt: _cancelledAt, ...batch }: Batch): string {
  return JSON.stringify(batch);
}
export function unpackBatch({ cancelledAt, content }: BatchRow): Batch {
  return { ...(JSON.parse(content) as Batch), ...(cancelledAt !== null && { cancelledAt }) };
}
