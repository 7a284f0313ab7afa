import { z } from "zod";
import { Secret } from "../canon/index.ts";
import { scopeShape } from "./scope-options.ts";

/** Signatures by which only the holder of a private key can sign. `none` and those by a shared secret are none of them. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"] as const;
const USUAL_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"] as const;
const ROLES = ["viewer", "developer", "approver", "admin"] as const;
const CLAIMED = ["name", "team", "project", "tags", "models", "surfaces", "tools", "tier"] as const;

const MOST_ISSUERS = 50;
const MOST_NAMES = 500;
const LETTERS = 300;
/** By this name people's issuer goes in the audit and in denials. */
export const PEOPLE = "oidc";

const text = z.string().min(1).max(LETTERS);
const texts = z.union([text.transform((one) => [one]), z.array(text).min(1).max(MOST_NAMES)], {
  error: "Must be a text, or a list of texts.",
});
const claim = text.describe("A claim by its name; where there is none of the whole name, dots lead into objects: `realm_access.roles`.");

/** Where signatures and sign-ins are trusted from must not be forged on the way. */
const secureUrl = z
  .url({ protocol: /^https?$/, error: "Must be an http(s) URL." })
  .max(LETTERS)
  .refine((url) => URL.canParse(url) && (url.startsWith("https:") || isLoopback(new URL(url).hostname)), {
    error: "Must begin with https://; http:// is for this machine only.",
  });

const algorithms = z
  .array(z.enum(ALGORITHMS, { error: `Must be one of ${ALGORITHMS.join(", ")}.` }))
  .min(1)
  .default([...USUAL_ALGORITHMS])
  .describe("How its tokens may be signed.");

const roles = z
  .strictObject({
    claim: claim.default("groups").describe("The claim that says what somebody is, a text or a list."),
    map: z.record(text, z.enum(ROLES)).default({}).describe("Roles at the admin API by what the claim holds. Several can apply."),
    default: z.enum(ROLES).optional().describe("The role of whoever has none by the claim. Default: not let in."),
  })
  .describe("Roles at the admin API.");

const oidc = z.strictObject({
  issuer: secureUrl.describe("The provider's issuer URL; everything else about it is discovered from there."),
  clientId: text.describe("This gateway's client id at the provider."),
  clientSecret: text
    .transform((secret) => new Secret(secret))
    .optional()
    .describe("Its client secret. Without one it is a public client, which PKCE protects alone."),
  scopes: z
    .array(text)
    .min(1)
    .max(MOST_NAMES)
    .default(["openid", "profile", "email"])
    .describe("Scopes to ask for; `openid` is always among them."),
  publicUrl: secureUrl
    .optional()
    .describe(
      "How browsers reach this gateway. Needed unless that is this machine; `PUBLIC_URL/admin/callback` must be registered at the provider.",
    ),
  nameClaim: claim.default("preferred_username").describe("What somebody is shown as; default `preferred_username`, else the subject."),
  audience: texts.optional().describe("Audiences of access tokens that are taken as Bearer tokens, besides ID tokens for `clientId`."),
  algorithms,
  roles: roles.prefault({}),
  signOutAtIssuer: z.boolean().default(true).describe("Signing out here signs out at the provider too, where it offers that."),
});

const jwt = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, { error: "A name has letters, digits, `.`, `_` and `-`." })
      .refine((name) => name !== PEOPLE, { error: `"${PEOPLE}" is the name of people's issuer.` })
      .describe("What it is called here: its callers' ids are `jwt:NAME:SUBJECT`, in the ledger and in `match: { key: ... }`."),
    issuer: z.string().min(1).max(LETTERS).describe("Value of the claim `iss`."),
    audience: texts.describe("Values of the claim `aud`, one of which a token must have: who it was made for."),
    jwksUri: secureUrl.optional().describe("Where its public keys are. Default: discovered from the issuer."),
    algorithms,
    type: text.optional().describe("Value of the header `typ` that tokens must have, as `at+jwt`. Default: any."),
    claims: z
      .strictObject({
        name: claim.optional(),
        team: claim.optional(),
        project: claim.optional(),
        tags: claim.optional(),
        models: claim.optional(),
        surfaces: claim.optional(),
        tools: claim.optional(),
        tier: claim.optional(),
      } satisfies Record<(typeof CLAIMED)[number], unknown>)
      .prefault({})
      .describe("Which claim says what. Lists are lists or texts with spaces. A token without a claim that is named here is refused."),
    optional: z.array(z.enum(CLAIMED)).default([]).describe("Those of `claims` that a token may lack."),
    scopes: z.strictObject(scopeShape).prefault({}).describe("What its callers may do at most, whatever their tokens say."),
    roles: roles.optional(),
  })
  .refine(({ issuer, jwksUri }) => jwksUri !== undefined || secureUrl.safeParse(issuer).success, {
    error: "Needs `jwksUri`: this issuer is no https:// URL to discover its keys from.",
    path: ["jwksUri"],
  });

/** `identity`: who vouches for people and services. */
export const identityOptions = z
  .strictObject({
    oidc: oidc.optional().describe("Where people sign in to the admin API."),
    jwt: z
      .array(jwt)
      .max(MOST_ISSUERS)
      .refine((issuers) => new Set(issuers.map(({ name }) => name)).size === issuers.length, { error: "Two issuers have the same name." })
      .refine((issuers) => new Set(issuers.map(({ issuer }) => issuer)).size === issuers.length, {
        error: "Two entries are of the same issuer.",
      })
      .default([])
      .describe("Issuers whose tokens services send in place of a key."),
    sessionMinutes: z.int().min(1).max(10_080).default(480).describe("How long somebody stays signed in, in minutes."),
    clockToleranceSeconds: z.int().min(0).max(300).default(30).describe("How far an issuer's clock may be off, in seconds."),
    keysMinutes: z.int().min(1).max(1440).default(10).describe("How long an issuer's public keys are used before they are fetched again."),
    outageMinutes: z
      .int()
      .min(0)
      .max(10_080)
      .default(60)
      .describe("How much longer they are used while the issuer cannot be reached; after that its tokens are refused."),
  })
  .prefault({});

export type IdentityOptions = z.output<typeof identityOptions>;
export type PeopleOptions = NonNullable<IdentityOptions["oidc"]>;
export type ServicesOptions = IdentityOptions["jwt"][number];
export type RoleOptions = PeopleOptions["roles"];

export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
