import {
  invalid,
  NO_USAGE,
  type ImageResult,
  type ImageTask,
  type JsonObject,
  type TaskCodec,
  type TaskFile,
  type Usage,
} from "../../canon/index.ts";
import { answered, broken, count, demand, isObject, listIn, object, read, renamed, renaming, text } from "../shared-task-fields.ts";
import { ID } from "./embed.ts";

/** The two doors. */
export const IMAGE = { make: "generations", edit: "edits" } as const;
const DEFAULT_MODEL = "gpt-image-1";
/** What the language allows. */
const MOST_IMAGES = 10;

/** `POST /images/generations` (JSON) and `/images/edits` (a form). Source: the `openai` package's types (7.57). */
export const image: TaskCodec<ImageTask, ImageResult> = {
  outline(body) {
    return {
      model: read(body, "model", "string") ?? DEFAULT_MODEL,
      stream: isTrue(body["stream"]),
      keep: false,
      background: false,
      units: { images: countOf(body) },
    };
  },

  decode({ fields: body, files }, { params }) {
    const size = read(body, "size", "string");
    if (params["variant"] === IMAGE.edit && !files.some(isSource))
      throw invalid("`image` is missing: the form must hold at least one image to change.", "image");
    return {
      operation: "image",
      origin: { dialect: ID },
      model: read(body, "model", "string") ?? DEFAULT_MODEL,
      native: body,
      prompt: demand(body, "prompt", "string"),
      count: countOf(body),
      images: files,
      stream: isTrue(body["stream"]),
      ...(size !== undefined && { size }),
    };
  },

  encode(task, { model, support }, note) {
    const body = renamed({ ...task.native, model, prompt: task.prompt }, support, note);
    return { path: pathTo(task.images.length > 0 ? IMAGE.edit : IMAGE.make), headers: {}, body: JSON.stringify(body) };
  },

  forward: (body, { params }, { support }) => ({
    path: pathTo(params["variant"] === IMAGE.edit ? IMAGE.edit : IMAGE.make),
    headers: {},
    replace: renaming(body, support),
  }),

  decodeResult(body) {
    const answer = answered(body);
    const images = listIn(answer, "data").map((row) => {
      const base64 = isObject(row) ? text(row["b64_json"]) : undefined;
      const url = isObject(row) ? text(row["url"]) : undefined;
      if (base64 === undefined && url === undefined) throw broken("The provider's answer holds an image that is neither data nor a URL.");
      return { ...(base64 !== undefined && { base64 }), ...(url !== undefined && { url }) };
    });
    if (images.length === 0) throw broken("The provider's answer holds no image.");
    return { operation: "image", images, createdAt: count(answer["created"]), usage: usageOf(object(answer["usage"]), images.length) };
  },

  readFrame({ type, usage }) {
    const done = type === "image_generation.completed" || type === "image_edit.completed";
    return done ? { done, usage: usageOf(object(usage), 1) } : undefined;
  },

  encodeResult: ({ images, usage, createdAt }) => ({
    created: createdAt,
    data: images.map(({ base64, url }) => ({ ...(base64 !== undefined && { b64_json: base64 }), ...(url !== undefined && { url }) })),
    ...(usage && {
      usage: { input_tokens: usage.inputUncached, output_tokens: usage.output, total_tokens: usage.inputUncached + usage.output },
    }),
  }),
};

function pathTo(variant: string): string {
  return `/images/${variant}`;
}

function isSource({ field }: TaskFile): boolean {
  return field === "image" || field.startsWith("image[");
}

/** Forms say everything as text. */
export function isTrue(value: JsonObject[string]): boolean {
  return value === true || value === "true";
}

function countOf(body: JsonObject): number {
  const value = body["n"];
  if (value === undefined || value === null) return 1;
  const n = typeof value === "string" ? Number(value) : value;
  if (typeof n !== "number" || !Number.isInteger(n) || n < 1 || n > MOST_IMAGES)
    throw invalid(`\`n\` must be a whole number from 1 to ${MOST_IMAGES}.`, "n");
  return n;
}

/** Newer models count tokens, older ones images; both are told, and the price says which is paid. */
function usageOf(usage: JsonObject | undefined, images: number): Usage {
  if (!usage) return { ...NO_USAGE, media: { images } };
  const details = object(usage["input_tokens_details"]);
  const imageTokens = count(details?.["image_tokens"]);
  const output = count(usage["output_tokens"]);
  return {
    ...NO_USAGE,
    inputUncached: count(usage["input_tokens"]),
    output,
    media: { ...(imageTokens > 0 && { input_image_tokens: imageTokens }), output_image_tokens: output },
  };
}
