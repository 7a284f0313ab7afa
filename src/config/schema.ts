import { z } from "zod";
import { accessOptions, limitsOptions } from "../gateway/options.ts";
import { storageOptions } from "../stores/options.ts";
import { limitsOptions as callerLimitsOptions } from "../ledger/options.ts";
import { providerOptions } from "../providers/options.ts";
import { simOptions } from "../providers/sim/options.ts";

/** Alias targets, retries and timeouts beyond these are mistakes. */
const TARGETS = 50;
const RETRIES = 20;
const TIMEOUT_MS = 24 * 3_600_000;
const WEIGHT = 1_000_000;
export const DEFAULT_RETRIES = 2;
export const DEFAULT_PORT = 4100;
export const DEFAULT_HOST = "127.0.0.1";

const name = z.string().min(1).max(200);
const target = z.union(
  [
    name.describe("`provider/model`, split at the first slash."),
    z.strictObject({
      target: name.describe("`provider/model`."),
      weight: z.number().positive().max(WEIGHT).default(1).describe("Share of the calls under the strategy `weighted`."),
    }),
  ],
  { error: "A target is `provider/model`, or `{ target: provider/model, weight: number }`." },
);

/** Strategies the contract names whose deciding facts are not measured yet. */
const STRATEGIES_TO_COME = ["latency", "cost", "rules"];
const strategy = z
  .enum(["fallback", "weighted", "round-robin"], {
    error: (issue) =>
      STRATEGIES_TO_COME.includes(String(issue.input))
        ? `The strategy ${String(issue.input)} is not built yet; use fallback, weighted or round-robin.`
        : "A strategy is fallback, weighted or round-robin.",
  })
  .default("fallback")
  .describe("`fallback`: in order. `weighted`: drawn by weight. `round-robin`: each in turn. What is not first is the fallback.");

const alias = z.strictObject({
  targets: z
    .array(target)
    .min(1, { error: "An alias needs at least one target." })
    .max(TARGETS)
    .describe("Where its calls go: `provider/model`, or `{ target, weight }`."),
  strategy,
  retries: z.int().min(0).max(RETRIES).default(DEFAULT_RETRIES).describe("Extra attempts per target, after failures that may be retried."),
  timeoutMs: z
    .int()
    .positive()
    .max(TIMEOUT_MS)
    .optional()
    .describe(
      "Milliseconds per attempt: to the first meaningful event when streaming, to the whole answer otherwise. Default: `serve.limits.defaultTimeoutMs`.",
    ),
  continue: z
    .enum(["always", "same-model", "never"])
    .default("never")
    .describe(
      "Whether a stream that breaks after text went out is to be continued. Not built yet: anything but `never` gives a warning, and the stream ends in a problem.",
    ),
  cache: z
    .strictObject({ ttlSeconds: z.int().positive().describe("How long an answer may be repeated, in seconds.") })
    .optional()
    .describe("Repeat answers to identical calls. Not built yet: accepted with a warning, every call goes upstream."),
});

const model = z.union([name, alias], { error: "A model is `provider/model`, or a mapping with `targets`." });

const serve = z
  .strictObject({
    host: z.string().min(1).default(DEFAULT_HOST).describe("Address to listen on. `--host` and `GIMBAL_HOST` win."),
    port: z
      .int()
      .min(0)
      .max(65_535)
      .default(DEFAULT_PORT)
      .describe("Port to listen on; 0 picks a free one. `--port` and `GIMBAL_PORT` win."),
    limits: limitsOptions.describe("Bounds of the gateway."),
  })
  .prefault({});

/** The whole of `gimbal.yaml`: every room's own options in one schema. Unknown keys are refused. */
export const configSchema = z.strictObject({
  version: z.literal(1, { error: "The configuration begins with `version: 1`." }).describe("Version of this file's format: 1."),
  providers: z
    .record(name, providerOptions)
    .default({})
    .describe("Where models run: by the name of a catalogue row, or a name of your own with `kind`."),
  models: z
    .record(name, model)
    .default({})
    .describe("Names that callers may use, and what stands behind them. The short form is one target."),
  sim: simOptions.prefault({}).describe("The simulator."),
  limits: callerLimitsOptions.describe("Rate limits of callers whose key has none of its own."),
  budgets: z
    .array(z.unknown())
    .max(0, { error: "Budgets are not built yet: a wall that does not hold is worse than none. Take this section out." })
    .default([])
    .describe("Not built yet; anything here is refused."),
  access: accessOptions.describe("Who may call without a key."),
  serve: serve.describe("Where and within which bounds the gateway serves."),
  storage: storageOptions.prefault({}).describe("How the record on disk is written."),
});

export type ConfigValues = z.output<typeof configSchema>;
