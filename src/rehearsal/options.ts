import { z } from "zod";
import { priceOptions } from "../models/index.ts";

const HOUR_MS = 3_600_000;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: HOUR_MS };
/** A scenario lasts no longer than this. */
const MOST_MS = 24 * HOUR_MS;
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/;

/** A span of scenario time such as `90s`, `2m` or `250ms`; milliseconds once read. */
const duration = z
  .string({ error: "A time is a number with its unit: 250ms, 30s, 5m, 1h." })
  .regex(DURATION, { error: "A time is a number with its unit: 250ms, 30s, 5m, 1h." })
  .transform(millisecondsOf)
  .refine((ms) => ms <= MOST_MS, { error: "A scenario lasts no longer than 24h." });

function millisecondsOf(text: string): number {
  const [, number = "0", unit = "ms"] = DURATION.exec(text) ?? [];
  return Math.round(Number(number) * (UNITS_MS[unit] ?? 1));
}

const name = z.string().min(1).max(200);
const share = (meaning: string) => z.number().min(0).max(1).describe(meaning);
const MOST_TOKENS = 200_000;
const tokens = z.int().min(1).max(MOST_TOKENS);
/** A number of tokens, or the least and the most, between which each call draws. */
const tokenRange = z.union(
  [
    tokens.transform((one): readonly [number, number] => [one, one]),
    z.tuple([tokens, tokens]).refine(([least, most]) => least <= most, { error: "The least comes first: [200, 4000]." }),
  ],
  { error: "A number of tokens, or the least and the most: [200, 4000]." },
);

const caller = z
  .strictObject({
    name: name.default("rehearsal").describe("Name of the key its calls come with."),
    team: name.optional().describe("The key's team."),
    project: name.optional().describe("The key's project."),
    tags: z.array(name).max(32).optional().describe("The key's tags."),
    tier: z.int().min(0).max(4).optional().describe("The key's highest data tier."),
  })
  .prefault({});

const part = z
  .strictObject({
    model: name.describe("Alias or `provider/model` that these calls name."),
    weight: z.number().positive().max(1_000_000).default(1).describe("Share of the load, beside the other entries' weights."),
    dialect: name.optional().describe("Wire language of these callers. Default: that of most clients."),
    stream: share("Share of the calls that stream.").default(1),
    promptTokens: tokenRange.prefault(500).describe("Length of the prompt: a number, or the least and the most."),
    outputTokens: tokenRange.prefault(300).describe("Length of a whole answer: a number, or the least and the most."),
    repeatShare: share("Share of the calls that repeat an earlier prompt exactly, as caches like it.").default(0),
    sessions: z.int().min(1).max(100_000).optional().describe("The calls belong to so many sessions. Default: to none."),
    metadata: z
      .record(name, z.union([z.string().max(500), z.number(), z.boolean()]))
      .optional()
      .describe("As in the header x-gimbal-metadata."),
    caller: caller.describe("Who makes these calls."),
  })
  .describe("One kind of call.");

const load = z
  .strictObject({
    callsPerSecond: z
      .number()
      .positive()
      .max(10_000)
      .optional()
      .describe("Calls begin at random, so many a second, however slow answers are."),
    concurrency: z.int().min(1).max(10_000).optional().describe("So many callers, each of which calls again as soon as it is answered."),
    patience: duration.prefault("120s").describe("A caller leaves a call that has lasted so long."),
    mix: z.array(part).min(1).max(100).describe("What is called."),
  })
  .refine((one) => (one.callsPerSecond === undefined) !== (one.concurrency === undefined), {
    error: "Give either callsPerSecond or concurrency.",
  });

const target = z
  .strictObject({
    ttft: duration.prefault("500ms").describe("Time to the first token."),
    tokensPerSecond: z.number().positive().max(1_000_000).default(80).describe("Pace after that."),
    spread: z
      .number()
      .min(0)
      .max(2)
      .default(0.25)
      .describe("How much times differ from call to call: standard deviation of their logarithm."),
    price: priceOptions.optional(),
  })
  .describe("How a target is while nothing is wrong.");

const KINDS = [
  "down",
  "server-error",
  "overloaded",
  "rate-limit",
  "out-of-credit",
  "slow",
  "stall",
  "cut",
  "garble",
  "empty",
  "price",
] as const;

const expectation = z
  .strictObject({
    successShare: share("Least share of calls that got one complete answer.").optional(),
    p95: duration.optional().describe("Longest time in which 95 of 100 calls are answered in full."),
    p99: duration.optional().describe("The same of 99 of 100."),
    ttftP95: duration.optional().describe("Longest time in which 95 of 100 streams begin."),
    costUsd: z.number().nonnegative().optional().describe("Most US dollars that everything may cost."),
    addedCostShare: z.number().nonnegative().optional().describe("Most that failed attempts may cost, as a share of all that is paid."),
    failovers: z.int().nonnegative().optional().describe("Most calls that another target than the first had to answer."),
    damaged: z.int().nonnegative().optional().describe("Most answers with lost or repeated text, or without a proper end."),
  })
  .describe("What must hold; the command fails otherwise.");

const incident = z
  .strictObject({
    name: name.optional().describe("What the report calls it. Default: its kind and target."),
    at: duration.describe("When it begins."),
    for: duration.optional().describe("How long it lasts. Default: to the end."),
    target: name.describe("A provider, or `provider/model`; `*` is all."),
    key: name.optional().describe("Only calls with this one of the provider's keys, such as `lab#2`."),
    kind: z
      .enum(KINDS)
      .describe(
        "down: refuses connections, and running streams break; server-error: 500; overloaded: 503; rate-limit: 429; out-of-credit: 402, as for an empty account; slow: by `factor`; stall: stops in the middle; cut: breaks in the middle; garble: a malformed piece; empty: an answer without content; price: costs `factor` times as much.",
      ),
    share: share("Share of the calls it strikes.").default(1),
    retryAfter: duration.prefault("5s").describe("What `rate-limit` and `overloaded` tell the caller to wait."),
    factor: z.number().positive().max(10_000).default(10).describe("How much slower, or dearer."),
    expect: expectation.optional().describe("What must hold for the calls made while it lasts."),
  })
  .describe("Something that goes wrong.");

/** A scenario of `gimbal rehearse`. Unknown keys are refused. */
export const scenarioSchema = z.strictObject({
  name: z.string().max(500).optional().describe("What is rehearsed, in a sentence."),
  seed: z.int().min(0).max(0xffffffff).default(1).describe("The same seed repeats a run exactly; `--seed` wins."),
  duration: duration.prefault("5m").describe("How long calls are made, in scenario time."),
  load: load.describe("Who calls, how often, and what."),
  targets: z
    .record(name, target)
    .default({})
    .describe("How targets are while nothing is wrong, by `provider/model`, `provider/*` or `*`; the most exact name counts."),
  incidents: z.array(incident).max(200).default([]).describe("What goes wrong, and when."),
  expect: expectation.optional().describe("What must hold over the whole run."),
});

export type Scenario = z.output<typeof scenarioSchema>;
export type Incident = Scenario["incidents"][number];
export type LoadPart = Scenario["load"]["mix"][number];
export type Expectation = z.output<typeof expectation>;
export type TargetNature = z.output<typeof target>;

/** How a target is of which the scenario says nothing. */
export const USUAL: TargetNature = target.parse({});
