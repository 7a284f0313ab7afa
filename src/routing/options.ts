import { z } from "zod";
import { placeName, placeShape } from "../providers/place.ts";

/** Alias targets, weights and rules beyond these are mistakes. */
const TARGETS = 50;
const WEIGHT = 1_000_000;
const RULES = 100;
const CONDITION_CHARACTERS = 2000;
const PLACES = 50;
const SCORE_TIMEOUT_MS = 60_000;
const DEFAULT_SCORE_TIMEOUT_MS = 3000;

const name = z.string().min(1).max(200);
const placeNames = z
  .union([placeName.transform((one) => [one]), z.array(placeName).min(1).max(PLACES)], { error: "Must be a name, or a list of names." })
  .optional();

export const requirementOptions = z
  .strictObject({
    region: placeNames.describe("Regions one of which the model must run in; `eu` stands for `eu-west-1` too."),
    residency: placeNames.describe("Places one of which must be where data is kept."),
  })
  .describe(
    "Where its calls may go. A target whose provider does not say where it is does not fit. A key has the same under `requires`, and a call in its metadata: `requires.region`, `requires.residency`.",
  );

export const targetName = name.describe("`provider/model`.");

const target = z.union(
  [
    name.describe("`provider/model`, split at the first slash."),
    z.strictObject({
      target: name.describe("`provider/model`."),
      weight: z
        .number()
        .nonnegative()
        .max(WEIGHT)
        .default(1)
        .describe("Share of the calls under the strategy `weighted`; 0: only a fallback."),
      ...placeShape,
    }),
  ],
  { error: "A target is `provider/model`, or `{ target: provider/model, weight: number }`." },
);

export const targetList = z
  .array(target)
  .min(1, { error: "An alias needs at least one target." })
  .max(TARGETS)
  .describe("Where its calls go: `provider/model`, or `{ target, weight }`.");

const STRATEGIES = ["fallback", "weighted", "round-robin", "latency", "cost", "rules"] as const;
const strategy = z.enum(STRATEGIES, { error: `A strategy is ${STRATEGIES.slice(0, -1).join(", ")} or ${STRATEGIES.at(-1)}.` });

const rule = z
  .strictObject({
    name: name.optional().describe("What explanations call it; default: `rule 1` and so on."),
    when: z
      .string()
      .min(1)
      .max(CONDITION_CHARACTERS)
      .describe("A condition in CEL over the variables below, such as `call.inputTokens > 50000 || 'vision' in call.needs`."),
    targets: targetList.optional().describe("Where such calls go."),
    use: z
      .array(name)
      .min(1)
      .max(TARGETS)
      .optional()
      .describe("Instead of `targets`: those of the alias's own targets, as `provider/model`, that such calls go to."),
    strategy: strategy.optional().describe("How one of them is chosen; default: the alias's."),
  })
  .refine((value) => (value.targets === undefined) !== (value.use === undefined), "A rule has either `targets` or `use`.");

/** Members of an alias under `models:` that say where its calls go. */
export const planShape = {
  targets: targetList,
  strategy: strategy
    .default("fallback")
    .describe(
      "`fallback`: in order. `weighted`: drawn by weight. `round-robin`: each in turn. `latency`: the one expected to answer soonest, by what was measured. `cost`: the cheapest for this call by the price book. `rules`: in order, where no rule matches. What is not first is the fallback.",
    ),
  rules: z
    .array(rule)
    .min(1)
    .max(RULES)
    .optional()
    .describe(
      "Some calls go elsewhere: the first rule whose condition holds decides. Where none does, the alias's own targets and strategy.",
    ),
  sticky: z
    .enum(["session", "cache", "off"], { error: "Stickiness is session, cache or off." })
    .default("cache")
    .describe(
      "A session (`x-gimbal-session`, a prompt cache key, or the answer that a call continues) stays with the target that answered it last. `cache`: for 5 minutes after each answer, while the prompt cache there is warm. `session`: for a day. A target that is unhealthy, does not fit or that a rule excludes is left.",
    ),
  requires: requirementOptions.optional(),
  complexity: z
    .strictObject({
      model: name.describe("Model or `provider/model` that is asked to rate a call from 0 to 100."),
      timeoutMs: z
        .int()
        .positive()
        .max(SCORE_TIMEOUT_MS)
        .default(DEFAULT_SCORE_TIMEOUT_MS)
        .describe("Milliseconds it may take; after that the call is rated by counting."),
    })
    .optional()
    .describe("Where `call.complexity` in rules comes from; default: it is counted, from length, code, words, tools and turns."),
} as const;
