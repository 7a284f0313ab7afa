import type { Json, JsonObject } from "../../canon/index.ts";
import { count, isList, isObject, object, text } from "./shape.ts";

/** Pages taken from one list. */
const MAX_SOURCES = 200;

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

/**
 * Pages that vendors list beside the choices (`search_results: [{ url, title }]`, or `citations` with bare addresses), as flat citations
 * `{ type: "url_citation", url, title, start_index, end_index }`. They stand where the text first has their number in brackets.
 */
export function listedSources(body: JsonObject, said: string): readonly Json[] {
  const { search_results: results, citations } = body;
  const listed = isList(results) && results.length > 0 ? results : isList(citations) ? citations : [];
  return listed.slice(0, MAX_SOURCES).flatMap((source, at) => {
    const url = text(source) ?? (isObject(source) ? text(source["url"]) : undefined);
    if (url === undefined) return [];
    const mark = `[${at + 1}]`;
    const start = said.indexOf(mark);
    const place = start < 0 ? { start_index: 0, end_index: 0 } : { start_index: start, end_index: start + mark.length };
    return [{ type: "url_citation", url, title: (isObject(source) ? text(source["title"]) : undefined) ?? "", ...place }];
  });
}

/** Was it made of such a list? The list itself reaches clients of this language. */
export function isListed(annotation: Json): boolean {
  return isObject(annotation) && annotation["type"] === "url_citation" && annotation["url_citation"] === undefined;
}
