import { invalid, type ImagePart, type Json } from "../../canon/index.ts";
import { checkedBase64 } from "../shared-media.ts";
import { isList } from "../shared-shape.ts";

/** What the base64 of an image begins with. Here images have no media type; other languages must name one. */
const BEGINNINGS: readonly (readonly [string, string])[] = [
  ["iVBOR", "image/png"],
  ["/9j/", "image/jpeg"],
  ["R0lGOD", "image/gif"],
  ["UklGR", "image/webp"],
];

/** A message's `images`: base64 without a prefix. @throws ProblemError naming `path` */
export function decodeImages(images: Json | undefined, path: string): readonly ImagePart[] {
  if (images === undefined || images === null) return [];
  if (!isList(images)) throw invalid(`\`${path}\` must be a list of base64 texts.`, path);
  return images.map((image, at) => {
    const param = `${path}[${at}]`;
    if (typeof image !== "string") throw invalid(`\`${param}\` must be base64 text.`, param);
    const data = checkedBase64(image, param);
    const mediaType = BEGINNINGS.find(([beginning]) => data.startsWith(beginning))?.[1];
    return { type: "image", source: { data, ...(mediaType !== undefined && { mediaType }) } };
  });
}
