import { ProblemError, type Caller, type Json, type Role, type Scopes } from "../../canon/index.ts";
import { bothScopes } from "../../gateway/bounds.ts";
import { scopesOf } from "../../gateway/scope-options.ts";
import type { RoleOptions, ServicesOptions } from "../../gateway/identity-options.ts";

const MOST_TEXTS = 1000;
const TEXT_LETTERS = 512;
const NAME_LETTERS = 100;
const HIGHEST_TIER = 4;

export type Claims = Readonly<Record<string, unknown>>;
type Claimed = keyof ServicesOptions["claims"];

/** A claim by its whole name, else by way of objects along its dots; own members only. */
export function readClaim(claims: Claims, path: string): Json | undefined {
  if (Object.hasOwn(claims, path)) return claims[path] as Json;
  let at: unknown = claims;
  for (const step of path.split(".")) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Claims)[step];
  }
  return at as Json;
}

/** What somebody may do at the admin API. */
export function rolesOf({ claim, map, default: otherwise }: RoleOptions, claims: Claims): readonly Role[] {
  const held = textsIn(readClaim(claims, claim)) ?? [];
  const roles = new Set(held.flatMap((name) => (Object.hasOwn(map, name) ? (map[name] ?? []) : [])));
  if (roles.size === 0 && otherwise !== undefined) roles.add(otherwise);
  return [...roles];
}

/**
 * A caller as its token describes it, within what the issuer's callers may do at most.
 * @param expiresAt milliseconds since 1970
 * @throws ProblemError unauthenticated, when a claim is missing or has no sense
 */
export function callerFromClaims(options: ServicesOptions, subject: string, claims: Claims, expiresAt: number): Caller {
  const id = `jwt:${options.name}:${subject}`;
  const given = <T>(member: Claimed, read: (value: Json | undefined) => T | undefined): T | undefined => {
    const name = options.claims[member];
    if (name === undefined) return undefined;
    const value = readClaim(claims, name);
    if (value === undefined && options.optional.includes(member)) return undefined;
    const result = read(value);
    if (result !== undefined) return result;
    throw new ProblemError({
      kind: "unauthenticated",
      message: `The token's claim \`${name}\`, which says its ${member}, is missing or cannot be read.`,
      code: "invalid_token",
    });
  };
  const [name, team, project] = [given("name", nameIn), given("team", nameIn), given("project", nameIn)];
  const [tags, models, surfaces, tools] = [
    given("tags", textsIn),
    given("models", textsIn),
    given("surfaces", textsIn),
    given("tools", textsIn),
  ];
  const tier = given("tier", tierIn);
  const claimed: Scopes = {
    ...(models && { models }),
    ...(surfaces && { surfaces }),
    ...(tools && { tools }),
    ...(tier !== undefined && { tier }),
  };
  return {
    id,
    scope: id,
    name: name ?? subject.slice(0, NAME_LETTERS),
    ...(team !== undefined && { team }),
    ...(project !== undefined && { project }),
    ...(tags && { tags }),
    scopes: bothScopes(scopesOf(options.scopes), claimed),
    limits: [],
    anonymous: false,
    expiresAt,
  };
}

function nameIn(value: Json | undefined): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= NAME_LETTERS ? value : undefined;
}

/** A list of texts, or one text with spaces between them, as scopes are written. Source: RFC 6749, section 3.3. */
function textsIn(value: Json | undefined): readonly string[] | undefined {
  const texts = typeof value === "string" ? value.split(" ").filter((text) => text !== "") : value;
  if (!Array.isArray(texts) || texts.length > MOST_TEXTS) return undefined;
  const fits = (text: unknown): text is string => typeof text === "string" && text !== "" && text.length <= TEXT_LETTERS;
  return texts.every(fits) ? texts : undefined;
}

function tierIn(value: Json | undefined): number | undefined {
  const tier = typeof value === "string" && /^\d$/.test(value) ? Number(value) : value;
  return typeof tier === "number" && Number.isInteger(tier) && tier >= 0 && tier <= HIGHEST_TIER ? tier : undefined;
}
