import type { Json } from "../../canon/index.ts";
import { count, isObject, object, text } from "./shape.ts";

/**
 * Citations in this language's form, `{ type: "url_citation", url_citation: { url, title, start_index, end_index } }`. Other languages'
 * citations are kept where they name an address; the rest has no place here.
 */
export function annotationsFor(annotations: readonly Json[] | undefined): readonly Json[] {
  const kept: Json[] = [];
  for (const annotation of annotations ?? []) {
    const encoded = annotationFor(annotation);
    if (encoded !== undefined) kept.push(encoded);
  }
  return kept;
}

export function annotationFor(annotation: Json): Json | undefined {
  if (!isObject(annotation)) return undefined;
  if (object(annotation["url_citation"])) return annotation;
  const url = text(annotation["url"]);
  if (url === undefined) return undefined;
  const title = text(annotation["title"]) ?? "";
  return {
    type: "url_citation",
    url_citation: { url, title, start_index: count(annotation["start_index"]), end_index: count(annotation["end_index"]) },
  };
}
