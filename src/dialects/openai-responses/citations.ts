import type { Json } from "../../canon/index.ts";
import { isObject, type Draft } from "./shape.ts";

/**
 * Citations of another language that name an address, as `{ type: "url_citation", url, title, start_index, end_index }`; the rest is
 * understood in its own language alone.
 */
export function citationsFor(annotations: readonly Json[] | undefined): readonly Json[] {
  return (annotations ?? []).flatMap((annotation) => citationFor(annotation) ?? []);
}

export function citationFor(annotation: Json): Json | undefined {
  if (!isObject(annotation)) return undefined;
  const nested = annotation["url_citation"];
  const { url, title, start_index: start, end_index: end }: Draft = isObject(nested) ? nested : annotation;
  if (typeof url !== "string" || url === "") return undefined;
  return {
    type: "url_citation",
    url,
    title: typeof title === "string" ? title : "",
    start_index: typeof start === "number" ? start : 0,
    end_index: typeof end === "number" ? end : 0,
  };
}
