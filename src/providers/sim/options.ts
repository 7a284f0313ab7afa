import { z } from "zod";
import { capabilityOptions, priceOptions, type ModelOverlay, type ModelOverride } from "../../models/index.ts";

const name = z.string().min(1).max(200);
const count = (max: number) => z.int().nonnegative().max(max);

/** Text in a configuration; longer answers are asked for by `length`. */
const TEXT_CHARACTERS = 1_000_000;
const text = z.string().max(TEXT_CHARACTERS);

const toolCall = z.strictObject({
  name: name.describe("The tool; left out when the call does not offer it."),
  arguments: z
    .union([z.record(z.string(), z.json()), z.string()])
    .optional()
    .describe("Its arguments: a mapping, or free text for tools that take text. Default: made up from the tool's JSON Schema."),
});

const turn = z.strictObject({
  text: text.optional().describe("What it says."),
  reasoning: text.optional().describe("What it thinks before."),
  toolCalls: z.array(toolCall).max(64).optional().describe("Tools it calls."),
});

const fault = z
  .strictObject({
    kind: z
      .enum(["refuse", "rate-limit", "server-error", "overloaded", "out-of-credit", "stall", "cut", "garble", "empty", "slow"])
      .describe(
        "refuse: no connection; rate-limit: 429; server-error: 500; overloaded: 503; out-of-credit: 402, as for an account that is empty; stall: stops and never goes on; cut: the connection breaks; garble: a malformed piece; empty: an answer without content; slow: one byte at a time.",
      ),
    share: z.number().min(0).max(1).default(1).describe("Share of the calls it strikes, 0 to 1."),
    retryAfterSeconds: z
      .number()
      .nonnegative()
      .max(86_400)
      .default(1)
      .describe("What `rate-limit` and `overloaded` tell the caller to wait."),
    afterBytes: count(1_000_000_000).optional().describe("Bytes of the body that go out before `stall`, `cut`, `garble` or `slow`."),
    afterTokens: count(10_000_000).optional().describe("The same in tokens, for streams."),
    how: z.enum(["reset", "end"]).optional().describe("`cut`: with a connection reset, or like a regular end; default: either, by chance."),
    byteMs: z.number().positive().max(60_000).default(20).describe("`slow`: milliseconds for each byte."),
  })
  .describe("A fault of the upstream.");

/** Everything one simulated model can be told to do. */
const simModel = z.strictObject({
  echo: z.literal(true).optional().describe("Answers exactly the last text of the user."),
  text: text.optional().describe("What it answers."),
  length: count(500_000).optional().describe("Answers with so many tokens of made-up text. A token is four characters here."),
  reasoning: text.optional().describe("What it thinks before it answers."),
  signature: name.optional().describe("Proof that it attaches to its reasoning."),
  refusal: text.optional().describe("Refuses with this sentence."),
  tools: z.literal(true).optional().describe("Calls the first tool that is offered, and answers in text once it has the result."),
  toolCalls: z.array(toolCall).min(1).max(64).optional().describe("Calls these tools first, together."),
  script: z
    .array(turn)
    .min(1)
    .max(1000)
    .optional()
    .describe("What it does turn by turn: after each round of tool results the next entry, the last one for ever."),
  ttftMs: z.number().nonnegative().max(3_600_000).default(0).describe("Time to the first token, in milliseconds."),
  tokensPerSecond: z.number().positive().max(1_000_000).optional().describe("Speed after that; default: at once."),
  usage: z
    .strictObject({
      input: count(1e9).optional(),
      cached: count(1e9).optional(),
      cacheWrite: count(1e9).optional(),
      cacheWrite1h: count(1e9).optional(),
      output: count(1e9).optional(),
      reasoning: count(1e9).optional(),
    })
    .optional()
    .describe("Tokens it reports, instead of those it counted; `input` are those outside the cache."),
  seed: z.int().min(0).max(0xffffffff).default(1).describe("The same seed repeats a run exactly."),
  price: priceOptions.optional().describe("What it costs; default: nothing."),
  capabilities: capabilityOptions.optional(),
  contextTokens: z.int().positive().optional().describe("Longer input is refused."),
  faults: z.array(fault).max(32).default([]).describe("Faults; the first whose share strikes counts."),
});

/** `sim:`: the simulator's models besides the built-in ones, by name. */
export const simOptions = z.strictObject({
  models: z.record(name, simModel).default({}).describe("Simulated models, called as `sim/NAME`."),
});

export type SimOptions = z.infer<typeof simOptions>;
export type SimModel = z.infer<typeof simModel>;
export type SimTurn = z.infer<typeof turn>;
export type SimToolCall = z.infer<typeof toolCall>;
export type SimFault = z.infer<typeof fault>;

const LOREM_TOKENS = 200;

const BUILT_IN: Readonly<Record<string, SimModel>> = {
  echo: simModel.parse({ echo: true }),
  tools: simModel.parse({ tools: true }),
  lorem: simModel.parse({ length: LOREM_TOKENS }),
  slow: simModel.parse({ length: LOREM_TOKENS, ttftMs: 1000, tokensPerSecond: 20 }),
};

/** Names of the models that are always there. */
export const simModels: readonly string[] = Object.keys(BUILT_IN);

/** Built-in and configured models together; a configured one replaces a built-in one of its name. */
export function modelsOf(options: SimOptions): ReadonlyMap<string, SimModel> {
  return new Map(Object.entries({ ...BUILT_IN, ...options.models }));
}

/** What the simulator adds to the model book: everything there is free unless a price is configured. */
export function simOverlay(provider: string, options: SimOptions): ModelOverlay {
  const models: Record<string, ModelOverride> = {};
  for (const [model, { price, capabilities, contextTokens }] of modelsOf(options)) {
    models[`${provider}/${model}`] = { price: price ?? { free: true }, capabilities, contextTokens };
  }
  return { kinds: { [provider]: "sim" }, models };
}
