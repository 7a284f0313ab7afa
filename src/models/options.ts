import { z } from "zod";
import type { ModelOperation } from "../canon/index.ts";
import { nanodollarsOf } from "./decimal.ts";

/** Dearest price of a million units, and of one. */
const MOST_DOLLARS = 1_000_000;
const MOST_DOLLARS_A_UNIT = 1000;

const dollars = (meaning: string, most = MOST_DOLLARS) =>
  z
    .number()
    .nonnegative()
    .max(most)
    .refine((amount) => isPrice(amount), "must be an amount of dollars")
    .optional()
    .describe(meaning);

const each = (meaning: string) => dollars(meaning, MOST_DOLLARS_A_UNIT);

function isPrice(amount: number): boolean {
  try {
    nanodollarsOf(amount);
    return true;
  } catch {
    return false;
  }
}

/** Prices of tokens; these may also depend on the size of the input and on the service tier. */
export const tokenPriceShape = {
  inputUsd: dollars("US dollars for a million input tokens."),
  outputUsd: dollars("US dollars for a million output tokens, reasoning included."),
  cacheReadUsd: dollars("US dollars for a million input tokens read from a prompt cache; default: the price of input."),
  cacheWriteUsd: dollars("US dollars for a million input tokens written to a prompt cache; default: the price of input."),
  cacheWrite1hUsd: dollars("The same for a cache that lives an hour; default: as cacheWriteUsd."),
  reasoningUsd: dollars("US dollars for a million output tokens of reasoning; default: the price of output."),
  inputAudioUsd: dollars("US dollars for a million input tokens of sound; default: the price of input."),
  inputImageUsd: dollars("US dollars for a million input tokens of images; default: the price of input."),
  outputAudioUsd: dollars("US dollars for a million output tokens of sound; default: the price of output."),
  outputImageUsd: dollars("US dollars for a million output tokens of images; default: the price of output."),
};

/** Everything that can have a price. */
export const priceShape = {
  ...tokenPriceShape,
  perCallUsd: each("US dollars for each call, besides its tokens."),
  gpuHourUsd: each("US dollars for an hour of the machine: each attempt costs the time from its opening to its end."),
  imageUsd: each("US dollars for each image made."),
  audioMinuteUsd: each("US dollars for each minute of sound heard or spoken."),
  characterUsd: dollars("US dollars for a million characters spoken."),
  searchUsd: each("US dollars for each search of the web."),
  rerankUsd: each("US dollars for each search unit of a reranking."),
  pageUsd: each("US dollars for each page read."),
};

/** Does a price name tokens at all? Then what it does not name is unknown; else tokens are part of what it names. */
export function namesTokens(price: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(tokenPriceShape).some((key) => price[key] !== undefined);
}

/** What a model costs, written by a person. */
export const priceOptions = z
  .strictObject({ ...priceShape, free: z.literal(true).optional().describe("The model costs nothing.") })
  .refine((price) => Object.values(price).some((value) => value !== undefined), "must name at least one price, or free: true")
  .refine((price) => !price.free || Object.values(price).filter((value) => value !== undefined).length === 1, "free: true stands alone")
  .describe("What the model costs; without it the price book is asked. A price that is not named is unknown, unless no tokens have one.");

export type PriceOptions = z.infer<typeof priceOptions>;

/** What capabilities a person may correct. */
export const capabilityOptions = z
  .strictObject({
    reasoning: z.boolean().optional().describe("Accepts a reasoning effort or a thinking budget."),
    vision: z.boolean().optional().describe("Accepts images."),
    files: z.boolean().optional().describe("Accepts files."),
    audio: z.boolean().optional().describe("Accepts sound."),
    tools: z.boolean().optional().describe("Accepts tools."),
    structuredOutput: z.boolean().optional().describe("Accepts a JSON Schema for its output."),
    streamUsage: z.boolean().optional().describe("Reports usage in streams when asked to."),
    betas: z.array(z.string().min(1)).optional().describe('Wire betas it understands; "*" for all.'),
    versions: z.array(z.string().min(1)).optional().describe("Wire versions it understands, newest first."),
    maxTokensField: z.enum(["max_tokens", "max_completion_tokens"]).optional().describe("Its field for the cap on output tokens."),
    reasoningField: z
      .string()
      .min(1)
      .optional()
      .describe("Its field for readable reasoning, such as reasoning_content; `content` where that stands in parts of the content."),
    reasoningRequest: z
      .enum(["reasoning_effort", "reasoning", "thinking"])
      .optional()
      .describe("Its field by which requests ask for reasoning; what clients say otherwise is translated."),
    renames: z
      .record(z.string().min(1), z.string().min(1))
      .optional()
      .describe("Request fields that it has under another name, such as `{ seed: random_seed }`."),
    prefillField: z
      .string()
      .min(1)
      .optional()
      .describe("Its field that marks the assistant's last message as the beginning of the answer, such as prefix."),
    callIdLength: z.int().min(1).max(64).optional().describe("Its ids of tool calls are so many letters and digits; others are changed."),
    instructionsRole: z.enum(["system", "developer"]).optional().describe("Its role for standing instructions."),
    refuses: z.array(z.string().min(1)).optional().describe("Request fields it refuses; they are left out."),
    prefill: z
      .boolean()
      .optional()
      .describe("Goes on with a request that ends in the assistant's own words: so a broken stream is continued without being told to."),
    maxOutputTokens: z.number().int().positive().optional().describe("The most tokens it can write in one answer."),
  })
  .describe("Corrections to what is known of the model's abilities.");

export type CapabilityOptions = z.infer<typeof capabilityOptions>;

const OPERATIONS = [
  "generate",
  "realtime",
  "embed",
  "rerank",
  "moderate",
  "image",
  "speech",
  "transcribe",
] as const satisfies ModelOperation[];
/** A century. */
const MOST_RETENTION_DAYS = 36_525;

/** What else a person may correct: members of a model's options. */
export const modelFactShape = {
  operations: z
    .array(z.enum(OPERATIONS))
    .optional()
    .describe(
      "All that it can be asked for; other calls go to other targets. Default: what is known of its name, else whatever its provider takes.",
    ),
  retentionDays: z
    .int()
    .min(0)
    .max(MOST_RETENTION_DAYS)
    .optional()
    .describe("Days that its provider keeps what it is sent, by your contract; shown by `gimbal models`."),
} as const;
