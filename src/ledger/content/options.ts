import { z } from "zod";
import type { ContentPolicy, RedactRule } from "../../canon/index.ts";
import { matchOptions, tidyMatch } from "../match-options.ts";
import { parsePath } from "./path.ts";

const MOST_POLICIES = 100;
const MOST_RULES = 100;
const MOST_LETTERS = 1000;
const MOST_DAYS = 3650;
const MOST_CHARACTERS = 16 * 1024 * 1024;
const DEFAULT_CHARACTERS = 256 * 1024;

const common = {
  name: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe("By which what is stored says how often the rule struck. Default: its place, `rule 1`."),
  with: z.string().max(200).default("[redacted]").describe("Stands in place of what was taken out."),
};

const patternRule = z.strictObject({
  ...common,
  pattern: z
    .string()
    .min(1)
    .max(MOST_LETTERS)
    .describe("A regular expression (JavaScript). Every match in any text is replaced, the arguments of tool calls among them."),
  flags: z
    .string()
    .regex(/^[gimsu]*$/, "may hold g, i, m, s and u")
    .default(""),
});
const pathRule = z.strictObject({
  ...common,
  path: z
    .string()
    .min(1)
    .max(MOST_LETTERS)
    .refine((path) => complaint(() => parsePath(path)) === undefined, {
      error: ({ input }) => complaint(() => parsePath(String(input))) ?? "",
    })
    .describe("A place in what is stored, such as `$.prompt.items[*].parts[*].text` or `$..input`: all of it is replaced."),
});

const rule = z
  .union([patternRule, pathRule], { error: "A rule has `pattern` or `path`." })
  .refine((one) => !("pattern" in one) || complaint(() => new RegExp(one.pattern, one.flags)) === undefined, {
    error: ({ input }) =>
      `is no regular expression: ${complaint(() => new RegExp((input as { pattern: string }).pattern)) ?? "see its flags"}`,
  });

const policy = z.strictObject({
  match: matchOptions
    .omit({ provider: true })
    .extend({
      metadata: z
        .record(z.string().min(1).max(200), z.string().max(MOST_LETTERS))
        .optional()
        .describe("Members of the header `x-gimbal-metadata`, as text; a beginning and `*` is all that begin so."),
    })
    .default({})
    .describe("Whose calls. Nothing named: everybody's."),
  share: z.number().min(0).max(1).describe("Share of these calls that is stored, 0 to 1."),
  what: z
    .array(z.enum(["prompt", "answer"]))
    .min(1)
    .max(2)
    .default(["prompt", "answer"])
    .describe("What of a call is stored."),
  days: z
    .number()
    .positive()
    .max(MOST_DAYS)
    .default(14)
    .describe("How long it can be read; it is deleted with the day on which that ends."),
  redact: z
    .union([z.literal("none"), z.array(rule).min(1).max(MOST_RULES)], {
      error: "must be `none`, or a list of rules with `pattern` or `path`",
    })
    .describe("What is taken out before anything is stored: rules, or `none`, which has to be said."),
  maxCharacters: z
    .int()
    .min(1)
    .max(MOST_CHARACTERS)
    .default(DEFAULT_CHARACTERS)
    .describe("Of one call as it is stored; longer ones are not, and counted."),
});

/** `content:` of `gimbal.yaml`. */
export const contentOptions = z.strictObject({
  store: z
    .array(policy)
    .max(MOST_POLICIES)
    .default([])
    .describe("Policies by which prompts and answers are stored; the first that matches a call decides. None: nothing is stored."),
});

/** The policies as the gateway works with them. */
export function contentPolicies({ store }: z.output<typeof contentOptions>): readonly ContentPolicy[] {
  return store.map(({ match: { metadata, ...match }, redact, ...rest }) => ({
    ...rest,
    match: tidyMatch(match),
    ...(metadata && { metadata }),
    redact: redact === "none" ? redact : redact.map((one, place): RedactRule => ({ ...one, name: one.name ?? `rule ${place + 1}` })),
  }));
}

function complaint(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
