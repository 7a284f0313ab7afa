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
import { noteUnspoken } from "../shared-fields.ts";
import { nearestShape, ratioOf } from "../shared-images.ts";
import {
  answered,
  broken,
  count,
  demand,
  isObject,
  listIn,
  object,
  read,
  refuseBeyond,
  renamed,
  renaming,
  tellLost,
  text,
  type Draft,
  type Note,
} from "../shared-task-fields.ts";
import { ID } from "./embed.ts";
import { encodeFrames, tokensTold } from "./image-events.ts";
import { sourceIn, sourceLacks, withSize } from "./image-ways.ts";

/** The two doors. */
export const IMAGE = { make: "generations", edit: "edits" } as const;
const DEFAULT_MODEL = "gpt-image-1";
/** What the language allows. */
const MOST_IMAGES = 10;
/** These models give data always, and refuse to be asked for it. */
const DATA_ONLY = /^(?:gpt-image|chatgpt-image)/;
/** Sizes that each family of models has; others take the first. */
const SIZES: readonly (readonly [models: RegExp, sizes: readonly string[]])[] = [
  [/^dall-e-3/, ["1024x1024", "1792x1024", "1024x1792"]],
  [/^dall-e-2/, ["1024x1024"]],
  [/./, ["1024x1024", "1536x1024", "1024x1536"]],
];
/** What other languages say in the fields of the task itself. */
const SAID = new Set([
  "contents",
  "instances",
  "parameters",
  "generationConfig",
  "generation_config",
  "systemInstruction",
  "system_instruction",
  "model",
]);

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
    const format = read(body, "response_format", "string");
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
      ...(format !== undefined && { delivery: format === "url" ? "url" : "data" }),
    };
  },

  lacks: (task, { support }) => (task.origin.dialect === ID ? sourceLacks(task, support) : undefined),

  encode(task, { model, support }, note) {
    const own = task.origin.dialect === ID;
    if (!own) refuseBeyond(task, "This language");
    const edits = task.images.length > 0;
    const body: Draft = own ? { ...task.native } : crossed(task, model, note);
    Object.assign(body, { model, prompt: task.prompt });
    if (body["n"] !== undefined || task.count > 1) body["n"] = task.count;
    if (!task.stream) delete body["stream"];
    const source = edits ? sourceIn(task, support) : undefined;
    if (source) for (const { field } of task.images) delete body[field];
    const sent = JSON.stringify({ ...renamed(withSize(body, support, note), support, note), ...source?.fields });
    const path = source?.path ?? pathTo(edits ? IMAGE.edit : IMAGE.make);
    return { path, headers: {}, body: sent, ...(edits && !source && { files: task.images }) };
  },

  forward(body, { params }, { support }, note) {
    const edits = params["variant"] === IMAGE.edit;
    if (edits && support.sources) return undefined;
    const sized = withSize(body, support, note);
    const gone = sized === body ? {} : { size: undefined, ...withoutSame(sized, body) };
    return { path: pathTo(edits ? IMAGE.edit : IMAGE.make), headers: {}, replace: { ...gone, ...renaming(body, support, note) } };
  },

  decodeResult(body) {
    const answer = answered(body);
    const images = listIn(answer, "data").map((row) => {
      const base64 = isObject(row) ? text(row["b64_json"]) : undefined;
      const url = isObject(row) ? text(row["url"]) : undefined;
      const revisedPrompt = isObject(row) ? text(row["revised_prompt"]) : undefined;
      if (base64 === undefined && url === undefined) throw broken("The provider's answer holds an image that is neither data nor a URL.");
      return {
        ...(base64 !== undefined && { base64 }),
        ...(url !== undefined && { url }),
        ...(revisedPrompt !== undefined && { revisedPrompt }),
      };
    });
    if (images.length === 0) throw broken("The provider's answer holds no image.");
    return { operation: "image", images, createdAt: count(answer["created"]), usage: usageOf(object(answer["usage"]), images.length) };
  },

  readFrame({ type, usage }) {
    const done = type === "image_generation.completed" || type === "image_edit.completed";
    return done ? { done, usage: usageOf(object(usage), 1) } : undefined;
  },

  encodeFrames,
  encodeResult: ({ images, usage, createdAt }, { task, createdAt: now }) => ({
    created: createdAt || now,
    data: images.map(({ base64, url, contentType = "image/png", revisedPrompt }) => {
      const asUrl = task.delivery === "url" && url === undefined && base64 !== undefined;
      return {
        ...(base64 !== undefined && !asUrl && { b64_json: base64 }),
        ...(url !== undefined && { url }),
        // Whoever asked for an address can read this one like any other.
        ...(asUrl && { url: `data:${contentType};base64,${base64}` }),
        ...(revisedPrompt !== undefined && { revised_prompt: revisedPrompt }),
      };
    }),
    ...(usage && usage.inputUncached + usage.output > 0 && { usage: tokensTold(usage) }),
  }),
};

/** Another language's task in this one's words. */
function crossed(task: ImageTask, model: string, note: Note): Draft {
  const { native, aspect, count: wanted, stream } = task;
  tellLost(native, SAID, note);
  noteUnspoken(task, note);
  if (stream) note({ field: "stream", action: "degraded", reason: "The image comes in one piece." });
  const body: Draft = wanted > 1 ? { n: wanted } : {};
  if (!DATA_ONLY.test(model)) body["response_format"] = "b64_json";
  const ratio = ratioOf(aspect);
  if (ratio === undefined) return body;
  const sizes = SIZES.find(([models]) => models.test(model))?.[1] ?? [];
  const best = nearestShape(ratio, sizes, (size) => widthOver(size));
  if (best && !best.exact) note({ field: "aspect", action: "degraded", reason: `The nearest size that the model has is ${best.shape}.` });
  return { ...body, ...(best && { size: best.shape }) };
}

function widthOver(size: string): number {
  const [width = 1, height = 1] = size.split("x").map(Number);
  return width / height;
}

function withoutSame(changed: Draft, before: JsonObject): Draft {
  return Object.fromEntries(Object.entries(changed).filter(([field, value]) => before[field] !== value));
}

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

/** A tenth of a nanodollar: how one compatible vendor says what its images cost. */
const TICKS_PER_NANODOLLAR = 10;

/** Newer models count tokens, older ones images; both are told, and the price says which is paid. */
function usageOf(usage: JsonObject | undefined, images: number): Usage {
  const ticks = count(usage?.["cost_in_usd_ticks"]);
  const cost = ticks > 0 ? { providerCost: Math.round(ticks / TICKS_PER_NANODOLLAR) } : {};
  if (!usage || count(usage["input_tokens"]) + count(usage["output_tokens"]) === 0) return { ...NO_USAGE, media: { images }, ...cost };
  const details = object(usage["input_tokens_details"]);
  const imageTokens = count(details?.["image_tokens"]);
  const output = count(usage["output_tokens"]);
  return {
    ...NO_USAGE,
    inputUncached: count(usage["input_tokens"]),
    output,
    media: { ...(imageTokens > 0 && { input_image_tokens: imageTokens }), output_image_tokens: output },
    ...cost,
  };
}
