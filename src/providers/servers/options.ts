import { z } from "zod";

const LOAD_MS = 2000;
const MODELS_MS = 60_000;
const DEAD_MS = 30_000;
const ANSWER_MS = 2000;

const milliseconds = (fallback: number, least: number, meaning: string) =>
  z.int().min(least).max(86_400_000).default(fallback).describe(meaning);

/** `servers:`: how servers of models are looked after that tell of themselves. */
export const serversOptions = z
  .strictObject({
    watch: z
      .boolean()
      .default(true)
      .describe("Ask them in the background? Without it nothing is known of them but what their answers show."),
    loadMs: milliseconds(LOAD_MS, 100, "Milliseconds between two questions for a server's health and load."),
    modelsMs: milliseconds(MODELS_MS, 1000, "Milliseconds between two questions for what a server serves."),
    deadMs: milliseconds(
      DEAD_MS,
      100,
      "Longest time between two questions to a server that does not answer, in milliseconds; it begins with `loadMs` and doubles.",
    ),
    answerMs: milliseconds(ANSWER_MS, 50, "Longest wait for one answer, in milliseconds."),
  })
  .prefault({});

export type ServersOptions = z.output<typeof serversOptions>;

/** Members of a model's options that only servers know which load models themselves. */
export const warmModelShape = {
  warmUp: z
    .boolean()
    .optional()
    .describe("Load it at the start, and again when its server was started anew: for servers that load a model with its first call."),
  keepAlive: z
    .union([
      z.string().regex(/^-?\d+(?:\.\d+)?(?:ns|us|ms|s|m|h)$/, "must be a duration such as 30m, or a number of seconds"),
      z.int().min(-1).max(31_536_000),
    ])
    .optional()
    .describe("How long its server keeps it loaded after its last call, when it was loaded from here: `30m`, seconds, or -1 for always."),
} as const;

/** Names of the options above. */
export const WARM_OPTIONS = ["warmUp", "keepAlive"] as const;
