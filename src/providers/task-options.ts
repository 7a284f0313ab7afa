import { z } from "zod";
import type { TaskOperation, TaskSupport } from "../canon/index.ts";
import { tasksOf, type TaskRow } from "./catalog-tasks.ts";

const name = z.string().min(1).max(200);
const MOST = 1_000_000_000;
const count = (meaning: string) => z.int().min(1).max(MOST).optional().describe(meaning);

const support = z.strictObject({
  dialects: z.array(name).min(1).optional().describe("Languages in which it takes them, preferred first; default: the kind's."),
  maxInputs: count("Texts or documents in one request; a call with more is split."),
  maxInputTokens: count("Tokens of one text."),
  maxTotalTokens: count("Tokens of all texts of one request."),
  maxFileBytes: count("Bytes of one file."),
  renames: z
    .record(name, name.nullable())
    .optional()
    .describe("Fields that it calls otherwise: its own name by the language's; null leaves the field out."),
  values: z.record(name, z.record(name, name)).optional().describe("Values that it calls otherwise, by field: its own by the language's."),
});
const embedSupport = support.extend({
  base64: z.boolean().optional().describe("It gives vectors in base64 to who asks for that; it is then always asked for them so."),
});
const imageSupport = support.extend({
  sizes: z
    .enum(["aspect_ratio", "sides"])
    .optional()
    .describe("How it takes the size of an image: as `aspect_ratio`, or as `width` and `height`; default: as its language does."),
  sources: z
    .enum(["image", "image_url"])
    .optional()
    .describe("How it takes an image to be changed: as data in `image` of an edit, or in `image_url`; default: in a form."),
});

/** False: the provider does not take it, whatever its kind says. */
const orFalse = <S extends z.ZodType>(mapping: S) =>
  z.union([mapping, z.literal(false)], { error: "A task is `false`, or a mapping of its languages and limits." }).optional();
const entry = orFalse(support);

/** `tasks:` of a provider. */
export const taskOptions = z
  .strictObject({
    embed: orFalse(embedSupport).describe("Embeddings."),
    rerank: entry.describe("Reranking."),
    moderate: entry.describe("Moderation."),
    image: orFalse(imageSupport).describe("Images made and changed."),
    speech: entry.describe("Speech from text."),
    transcribe: entry.describe("Text from speech."),
  })
  .describe("Kinds of call besides conversations that it takes, with their limits; default: what the kind takes. See docs/tasks.md.");

export type TaskOptions = z.infer<typeof taskOptions>;

/** What a provider takes: its kind's tasks, corrected by the configuration. A task that the kind lacks needs its language named. */
export function tasksFrom(kind: string, options: TaskOptions | undefined): TaskRow {
  const row = tasksOf(kind);
  if (!options) return row;
  const tasks: { [O in TaskOperation]?: TaskSupport } = { ...row };
  for (const operation of Object.keys(options) as TaskOperation[]) {
    const own = options[operation];
    if (own === undefined) continue;
    delete tasks[operation];
    if (own === false) continue;
    const dialects = own.dialects ?? row[operation]?.dialects;
    if (dialects) tasks[operation] = { ...row[operation], ...withoutUndefined(own), dialects };
  }
  return tasks;
}

function withoutUndefined({ dialects: _dialects, ...own }: z.infer<typeof support>): Omit<TaskSupport, "dialects"> {
  return Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
}
