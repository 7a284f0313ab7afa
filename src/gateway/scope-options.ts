import { z } from "zod";
import type { Scopes, ScopesChange } from "../canon/index.ts";
import { requirementOptions } from "../routing/options.ts";

const MOST_PATTERNS = 1000;
const PATTERN_LETTERS = 512;
const MOST_MEMBERS = 100;
const MEMBER_LETTERS = 100;
const VALUE_LETTERS = 200;

const patterns = z.array(z.string().min(1).max(PATTERN_LETTERS)).max(MOST_PATTERNS);
const member = z.string().min(1).max(MEMBER_LETTERS);
const value = z.string().max(VALUE_LETTERS);
const few = (members: object): boolean => Object.keys(members).length <= MOST_MEMBERS;
const TOO_MANY = `At most ${MOST_MEMBERS} members.`;

const metadataOptions = z.strictObject({
  allow: z
    .record(member, z.array(value).max(MOST_PATTERNS))
    .refine(few, { error: TOO_MANY })
    .optional()
    .describe("Members that a call may carry, each with the values it may have; a trailing `*` matches any rest, in both."),
  require: z.array(member).max(MOST_MEMBERS).optional().describe("Members that every call must carry."),
  force: z.record(member, value).refine(few, { error: TOO_MANY }).optional().describe("Members that every call has, whatever it says."),
});

/** What may be done, as a configuration or the admin API says it. Absent: no restriction of that kind. */
export const scopeShape = {
  models: patterns.optional().describe("Aliases and `provider/model`; a trailing `*` matches any rest."),
  surfaces: patterns.optional().describe("Wire languages, by their ids."),
  tools: patterns.optional().describe("Names of tools that calls may offer a model; a trailing `*` matches any rest."),
  tier: z.int().min(0).max(4).optional().describe("Highest data tier, 0 to 4."),
  requires: requirementOptions.transform((requires) => tidy(requires)).optional(),
  metadata: metadataOptions
    .transform((metadata) => tidy(metadata))
    .optional()
    .describe("What calls may say of themselves in `x-gimbal-metadata`; whatever it does not name is refused."),
  priority: z.int().min(0).max(9).optional().describe("Who goes first where calls wait, 0 to 9."),
} as const;

/** The same as a change: null takes a restriction away. */
export const scopeChangeShape = {
  models: scopeShape.models.nullable(),
  surfaces: scopeShape.surfaces.nullable(),
  tools: scopeShape.tools.nullable(),
  tier: scopeShape.tier.nullable(),
  requires: scopeShape.requires.nullable(),
  metadata: scopeShape.metadata.nullable(),
  priority: scopeShape.priority.nullable(),
} as const;

type Given<T> = { readonly [K in keyof T]: T[K] | undefined };

/** The scopes among the members of a body. */
export function scopesOf({ models, surfaces, tools, tier, requires, metadata, priority, role }: Partial<Given<Scopes>>): Scopes {
  return tidy({ models, surfaces, tools, tier, requires, metadata, priority, role });
}

export function scopesChangeOf(change: Partial<Given<ScopesChange>>): ScopesChange {
  const { models, surfaces, tools, tier, requires, metadata, priority, role } = change;
  return tidy({ models, surfaces, tools, tier, requires, metadata, priority, role });
}

/** Without the members that say nothing. */
export function tidy<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, given]) => given !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
