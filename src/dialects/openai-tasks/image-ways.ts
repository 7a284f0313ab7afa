import type { ImageTask, JsonObject, TaskSupport } from "../../canon/index.ts";
import { nearestShape, ratioOf, sidesOf } from "../shared-images.ts";
import type { Draft, Note } from "../shared-task-fields.ts";

/** Shapes that vendors have who take no sizes in pixels. */
const ASPECTS = ["1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "2:1", "1:2"] as const;

/** The request with its size said as the provider takes it; the same object where nothing is to be said otherwise. */
export function withSize(body: Draft | JsonObject, { sizes }: TaskSupport, note: Note): Draft {
  const { size, ...rest } = body;
  if (sizes === undefined || size === undefined) return body;
  const sides = sidesOf(typeof size === "string" ? size : undefined);
  if (!sides) {
    if (size !== "auto") note({ field: "size", action: "dropped", reason: "The provider has no such size." });
    return rest;
  }
  if (sizes === "sides") return { ...rest, ...sides };
  const best = nearestShape(sides.width / sides.height, ASPECTS, (aspect) => ratioOf(aspect) ?? 1);
  note({ field: "size", action: "degraded", reason: "The provider takes the shape of an image, not its size in pixels." });
  return { ...rest, aspect_ratio: best?.shape };
}

/** Where and how an image to be changed goes that is not sent in a form. */
export function sourceIn(
  { images: [first] }: ImageTask,
  { sources }: TaskSupport,
): { readonly path: string; readonly fields: JsonObject } | undefined {
  if (sources === undefined || !first) return undefined;
  const url = `data:${first.contentType};base64,${Buffer.from(first.bytes).toString("base64")}`;
  return sources === "image"
    ? { path: "/images/edits", fields: { image: { type: "image_url", url } } }
    : { path: "/images/generations", fields: { image_url: url } };
}

/** What of the images to be changed such a provider does not take, in words that follow its name. */
export function sourceLacks({ images }: ImageTask, { sources }: TaskSupport): string | undefined {
  if (sources === undefined) return undefined;
  if (images.some(({ field }) => field === "mask")) return "takes no masks";
  return images.length > 1 ? `takes one image to change, and ${images.length} were sent` : undefined;
}
