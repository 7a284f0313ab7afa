import {
  invalid,
  NO_USAGE,
  type ImageResult,
  type ImageTask,
  type Json,
  type JsonObject,
  type TaskAnswerContext,
  type TaskCodec,
} from "../../canon/index.ts";
import { camelCased, patched } from "../gemini/wire.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { dataUrl, imageType, nearestShape, ratioOf, sidesOf } from "../shared-images.ts";
import { broken, demand, isList, isObject, object, readCount, refuseBeyond, tellLost, text, type Note } from "../shared-task-fields.ts";
import {
  answerIn,
  answerOf,
  asFrames,
  fileOf,
  generationIn,
  givenBy,
  inlineOf,
  modelIn,
  pathTo,
  readTurn,
  refused,
  streamOf,
  unread,
  usageIn,
  type Turn,
} from "./content.ts";
import { ID } from "./embed.ts";

/** The two ways: models made for images alone, and those that answer with one. */
export const MAKE = { predict: "predict", generate: "generateContent" } as const;
const PREDICTS = /(?:^|\/)(?:imagen|imagegeneration)/;
/** Images of one request, and of one that does not say how many. */
const MOST_PREDICTED = 4;
const DEFAULT_PREDICTED = 4;
/** What a client may ask for at once. */
const MOST_IMAGES = 10;

/** Shapes of each way. */
const PREDICTED_SHAPES = ["1:1", "3:4", "4:3", "9:16", "16:9"] as const;
const GENERATED_SHAPES = ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"] as const;
/** The side of an image that no size was asked for. */
const USUAL_SIDE = 1024;

/** Fields of other languages whose meaning is carried or that say nothing of the image. */
const SAID = new Set(
  "model prompt n size response_format user stream image image[] output_format contents generationConfig systemInstruction".split(" "),
);
const OUTPUT: Readonly<Record<string, string>> = { png: "image/png", jpeg: "image/jpeg" };

/**
 * Images: `models/NAME:predict` of Imagen, and `:generateContent` of models that answer with an image. Source: the `@google/genai` package's
 * types and converters (3.1).
 */
export const image: TaskCodec<ImageTask, ImageResult> = {
  outline(body, { params }) {
    const count = params["variant"] === MAKE.predict ? countOf(body) : candidatesOf(body);
    return { model: modelIn(params), stream: streamOf({ params }).stream, keep: false, background: false, units: { images: count } };
  },

  decode({ fields: body }, { params }) {
    const base = { operation: "image", origin: { dialect: ID }, model: modelIn(params), native: body, ...streamOf({ params }) } as const;
    if (params["variant"] === MAKE.predict) return { ...base, ...predicted(body), images: [] };
    return { ...base, ...asked(body) };
  },

  lacks({ images }, { model }) {
    if (images.length > 0 && PREDICTS.test(model)) return "makes images and changes none";
    return images.some(({ field }) => field === "mask") ? "takes no masks" : undefined;
  },

  mostInputs: (_task, { model }) => (PREDICTS.test(model) ? MOST_PREDICTED : 1),

  encode(task, { model }, note) {
    const way = wayOf(model);
    const own = task.origin.dialect === ID && wayOfBody(task.native) === way;
    if (!own) refuseBeyond(task, "This model");
    const body = own ? ownBody(task, way) : way === MAKE.predict ? asPrediction(task, note) : asContent(task, note);
    return { path: pathTo(model, way), headers: {}, body: JSON.stringify(body) };
  },

  forward(body, { params }, { model }) {
    const way = wayOf(model);
    // The image comes in one piece, whatever was asked for.
    if (params["variant"] !== way || streamOf({ params }).stream) return undefined;
    return { path: pathTo(model, way), headers: {}, replace: body["model"] === undefined ? {} : { model: `models/${model}` } };
  },

  decodeResult(body) {
    const answer = answerIn(body);
    if (answer["candidates"] !== undefined || answer["promptFeedback"] !== undefined) return fromContent(answer);
    const rows = (Array.isArray(answer["predictions"]) ? (answer["predictions"] as readonly Json[]) : []).filter(isObject);
    const images = rows.flatMap((row) => {
      const base64 = text(row["bytesBase64Encoded"]);
      const revisedPrompt = text(row["prompt"]);
      return base64 === undefined
        ? []
        : [
            {
              base64,
              contentType: text(row["mimeType"]) ?? imageType(base64) ?? "image/png",
              ...(revisedPrompt !== undefined && { revisedPrompt }),
            },
          ];
    });
    // Filtered images are left out; where all of them were, nothing else may be said.
    if (images.length === 0)
      throw refused(rows.map((row) => text(row["raiFilteredReason"])).find((reason) => reason !== undefined) ?? "no image was made");
    return { operation: "image", images, createdAt: 0, usage: { ...NO_USAGE, media: { images: images.length } } };
  },

  encodeResult(result, context) {
    const answer = told(result, context);
    return context.task.array ? [answer] : answer;
  },
  encodeFrames: (result, context) => asFrames(context.task, () => told(result, context)),
};

function told({ images, usage, model: named }: ImageResult, { task, model }: TaskAnswerContext<ImageTask>): JsonObject {
  const inline = images.map(({ base64, url, contentType, revisedPrompt }) => {
    const given = base64 === undefined ? dataUrl(url ?? "") : { base64, contentType: contentType ?? imageType(base64) ?? "image/png" };
    if (!given) throw broken("The provider answered with an address of an image, and this language has them as data only.");
    return { ...given, revisedPrompt };
  });
  if (wayOfBody(task.native) === MAKE.generate) {
    const parts = inline.map(({ contentType, base64 }): JsonObject => ({ inlineData: { mimeType: contentType, data: base64 } }));
    return answerOf(task.count > 1 ? parts.map((part) => [part]) : [parts], usage, named ?? model);
  }
  return {
    predictions: inline.map(({ contentType, base64, revisedPrompt }) => ({
      mimeType: contentType,
      bytesBase64Encoded: base64,
      ...(revisedPrompt !== undefined && { prompt: revisedPrompt }),
    })),
  };
}

function wayOf(model: string): string {
  return PREDICTS.test(model) ? MAKE.predict : MAKE.generate;
}

function wayOfBody(native: JsonObject): string {
  return isList(native["contents"]) ? MAKE.generate : MAKE.predict;
}

function predicted(body: JsonObject): Pick<ImageTask, "prompt" | "count" | "aspect" | "beyond"> {
  const instances = demand(body, "instances", "list");
  const [only] = instances;
  if (instances.length !== 1 || !isObject(only)) throw invalid("`instances` must hold one object with a prompt.", "instances");
  const aspect = text(object(body["parameters"])?.["aspectRatio"]);
  const shown = ["image", "mask", "referenceImages"].find((field) => only[field] !== undefined);
  return {
    prompt: demand(only, "prompt", "string", "instances[0]."),
    count: countOf(body),
    ...(aspect !== undefined && { aspect }),
    ...(shown !== undefined && { beyond: `\`${shown}\`` }),
  };
}

/** What a conversation asks to be made: its last turn, with the nearest images where that has none of its own. */
function asked(body: JsonObject): Pick<ImageTask, "prompt" | "count" | "images" | "aspect" | "beyond" | "unspoken"> {
  const turn = readTurn(body);
  const files = turn.files.length > 0 ? turn.files : turn.before;
  if (turn.text === "") throw invalid("`contents` holds no words that say what to make.", "contents");
  const generation = generationIn(body);
  const { responseModalities: modalities } = generation;
  const config = camelCased(object(generation["imageConfig"]) ?? {});
  const aspect = text(config["aspectRatio"]);
  const beyond = turn.beyond ?? (files.every(({ contentType }) => contentType.startsWith("image/")) ? undefined : "data but images");
  const unspoken = [
    ...turn.unspoken,
    ...(isList(modalities) && modalities.includes("TEXT") ? ["generationConfig.responseModalities.TEXT"] : []),
    ...unread(generation, "generationConfig", ["responseModalities", "imageConfig", "candidateCount"]),
    ...unread(config, "generationConfig.imageConfig", ["aspectRatio"]),
  ];
  return {
    prompt: promptOf(turn),
    count: candidatesOf(body),
    images: files.map(fileOf),
    ...(aspect !== undefined && { aspect }),
    ...(beyond !== undefined && { beyond }),
    ...(unspoken.length > 0 && { unspoken }),
  };
}

function promptOf({ instructions, text: said }: Pick<Turn, "instructions" | "text">): string {
  return instructions === "" ? said : `${instructions}\n\n${said}`;
}

function candidatesOf(body: JsonObject): number {
  const count = readCount(generationIn(body), "candidateCount") ?? 1;
  if (count > MOST_IMAGES)
    throw invalid(
      `\`generationConfig.candidateCount\` must be a whole number from 1 to ${MOST_IMAGES}.`,
      "generationConfig.candidateCount",
    );
  return count;
}

function countOf(body: JsonObject): number {
  const value = object(body["parameters"])?.["sampleCount"] ?? DEFAULT_PREDICTED;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > MOST_IMAGES)
    throw invalid(`\`parameters.sampleCount\` must be a whole number from 1 to ${MOST_IMAGES}.`, "parameters.sampleCount");
  return value;
}

/** As it came, but for what was changed and for as many images as one request makes. */
function ownBody({ native, prompt, count, images }: ImageTask, way: string): JsonObject {
  if (way === MAKE.generate) {
    const counted =
      candidatesOf(native) === count
        ? native
        : patched(native, { generationConfig: patched(generationIn(native), { candidateCount: count > 1 ? count : undefined }) });
    if (promptOf(readTurn(native)) === prompt) return counted;
    return patched(counted, { systemInstruction: undefined, contents: [{ role: "user", parts: partsOf(prompt, images) }] });
  }
  const [only] = native["instances"] as readonly JsonObject[];
  return { ...native, instances: [{ ...only, prompt }], parameters: { ...object(native["parameters"]), sampleCount: count } };
}

function asPrediction(task: ImageTask, note: Note): JsonObject {
  const shape = shapeOf(task, PREDICTED_SHAPES, note);
  const type = OUTPUT[text(task.native["output_format"]) ?? ""];
  tellCrossing(task, type !== undefined, note);
  return {
    instances: [{ prompt: task.prompt }],
    parameters: {
      sampleCount: task.count,
      ...(shape !== undefined && { aspectRatio: shape }),
      ...(type !== undefined && { outputOptions: { mimeType: type } }),
    },
  };
}

function asContent(task: ImageTask, note: Note): JsonObject {
  const shape = shapeOf(task, GENERATED_SHAPES, note);
  tellCrossing(task, false, note);
  return {
    contents: [{ role: "user", parts: partsOf(task.prompt, task.images) }],
    generationConfig: { responseModalities: ["IMAGE"], ...(shape !== undefined && { imageConfig: { aspectRatio: shape } }) },
  };
}

function partsOf(prompt: string, images: ImageTask["images"]): readonly Json[] {
  return [{ text: prompt }, ...images.map(({ contentType, bytes }) => inlineOf(typeOf(contentType, bytes), bytes))];
}

/** A form may say nothing of what its file is. */
function typeOf(contentType: string, bytes: Uint8Array): string {
  if (contentType.startsWith("image/")) return contentType;
  return imageType(Buffer.from(bytes.subarray(0, 18)).toString("base64")) ?? contentType;
}

function tellCrossing(task: ImageTask, formatSaid: boolean, note: Note): void {
  const { native, stream, delivery } = task;
  tellLost(native, SAID, note);
  noteUnspoken(task, note);
  if (stream) note({ field: "stream", action: "degraded", reason: "The image comes in one piece, as the last event." });
  if (delivery === "url") note({ field: "response_format", action: "degraded", reason: "The image comes as data, in a `data:` URL." });
  if (native["output_format"] !== undefined && !formatSaid)
    note({ field: "output_format", action: "dropped", reason: "The model chooses the format." });
}

function shapeOf({ size, aspect }: ImageTask, shapes: readonly string[], note: Note): string | undefined {
  const sides = sidesOf(size);
  const ratio = sides ? sides.width / sides.height : ratioOf(aspect);
  const best = ratio === undefined ? undefined : nearestShape(ratio, shapes, (shape) => ratioOf(shape) ?? 1);
  if (!best) return undefined;
  const usual = sides === undefined || (sides.width === USUAL_SIDE && sides.height === USUAL_SIDE);
  if (!best.exact || !usual)
    note({ field: sides ? "size" : "aspect", action: "degraded", reason: `The model is told a shape, not a size: ${best.shape}.` });
  return best.shape;
}

function fromContent(answer: JsonObject): ImageResult {
  const { files, finish, text: said } = givenBy(answer);
  const images = files.filter(({ contentType }) => contentType.startsWith("image/"));
  if (images.length === 0) throw refused(said === "" ? (finish ?? "no image was made") : said);
  return {
    operation: "image",
    model: text(answer["modelVersion"]),
    images,
    createdAt: 0,
    usage: usageIn(answer) ?? { ...NO_USAGE, media: { images: images.length } },
  };
}
