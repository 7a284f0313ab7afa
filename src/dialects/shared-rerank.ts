import { invalid, type Json, type JsonObject, type RerankDocument, type RerankResult, type RerankTask } from "../canon/index.ts";
import { broken, isList, isObject, MOST_DOCUMENTS, text, tooMany } from "./shared-task-fields.ts";

/** @throws ProblemError invalid_request */
export function readDocuments(value: Json | undefined, param: string): readonly RerankDocument[] {
  if (!isList(value)) throw invalid(`\`${param}\` must be a list of texts.`, param);
  if (value.length === 0) throw invalid(`\`${param}\` is empty: there is nothing to rank.`, param);
  tooMany(value.length, MOST_DOCUMENTS, param, "documents");
  return value.map((one, at) => {
    if (typeof one === "string" || isObject(one)) return one;
    throw invalid(`\`${param}[${at}]\` is neither a text nor an object of fields.`, `${param}[${at}]`);
  });
}

/** A document for languages that take texts alone: its text, or its fields as lines. */
export function textOfDocument(document: RerankDocument): string {
  if (typeof document === "string") return document;
  const own = text(document["text"]);
  if (own !== undefined) return own;
  return Object.entries(document)
    .map(([field, value]) => `${field}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("\n");
}

/** How many are to be ranked. */
export function wanted({ documents, topN }: RerankTask): number {
  return Math.min(documents.length, topN ?? documents.length);
}

/** @param score name of the member that holds it @throws ProblemError upstream_broken */
export function rankedOf(rows: readonly Json[], task: RerankTask, score: string): RerankResult["ranked"] {
  const seen = new Set<number>();
  const ranked = rows.map((row) => {
    const index = isObject(row) ? row["index"] : undefined;
    const value = isObject(row) ? row[score] : undefined;
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= task.documents.length || seen.has(index))
      throw broken("The provider's answer ranks a document that was not sent, or one twice.");
    if (typeof value !== "number" || !Number.isFinite(value))
      throw broken("The provider's answer holds a score that is not a finite number.");
    seen.add(index);
    return { index, score: value };
  });
  if (ranked.length < wanted(task)) throw broken(`The provider ranked ${ranked.length} documents; ${wanted(task)} were asked for.`);
  return ranked.toSorted((a, b) => b.score - a.score).slice(0, wanted(task));
}

/** Each ranked document as a row; `shape` writes its document, where the client wants it back. */
export function rowsOf(
  { ranked }: RerankResult,
  task: RerankTask,
  score: string,
  shape: (document: RerankDocument) => JsonObject,
): readonly JsonObject[] {
  return ranked.map((one) => ({
    index: one.index,
    [score]: one.score,
    ...(task.returnDocuments && shape(task.documents[one.index] ?? "")),
  }));
}

/** Search units as they are sold: one for each hundred documents begun. */
export function searchUnits(documents: number): number {
  const DOCUMENTS_PER_UNIT = 100;
  return Math.ceil(documents / DOCUMENTS_PER_UNIT);
}
