import { z } from "zod";
import { accountOf, ProblemError, type Clock, type Denial, type KeyRecord, type KeyStore, type Randomness } from "../canon/index.ts";
import { keyBudgetsFrom, keyBudgetsOptions, keyLimitsOptions } from "../ledger/options.ts";
import { scopeChangeShape, scopesChangeOf, tidy } from "./scope-options.ts";

const MOST_TAGS = 50;
const NAME_LETTERS = 100;
const VALUE_LETTERS = 512;
const REASON_LETTERS = 500;
/** A key's surface for the admin API. */
const ADMIN = "admin";

const name = z.string().min(1).max(NAME_LETTERS);
const value = z.string().min(1).max(VALUE_LETTERS);

/** A change of an account: null takes a member away, what is absent stays. */
export const accountChangeOptions = z.strictObject({
  name: name.optional(),
  team: name.nullable().optional(),
  project: name.nullable().optional(),
  tags: z.array(name).max(MOST_TAGS).nullable().optional(),
  ...scopeChangeShape,
  role: z.enum(["viewer", "developer", "approver", "admin"]).nullable().optional(),
  limits: keyLimitsOptions.nullable().optional(),
  budgets: keyBudgetsOptions.nullable().optional(),
});

/** What a team or a project may do at most, as a change. */
export const groupChangeOptions = z.strictObject(scopeChangeShape);

/** Somebody to deny: by `subject` (`sub`), `token` (`jti`) or `session`. */
export const denialOptions = z
  .strictObject({
    issuer: name,
    subject: value.optional(),
    token: value.optional(),
    session: value.optional(),
    reason: z.string().min(1).max(REASON_LETTERS).optional(),
    /** Milliseconds since 1970, or an ISO date. */
    expiresAt: z.union([z.number().int().positive(), z.iso.datetime().transform((text) => Date.parse(text))]).optional(),
  })
  .refine(({ subject, token, session }) => [subject, token, session].filter((named) => named !== undefined).length === 1, {
    error: "name one of subject, token and session",
  });

/** Changes every key of an account, and resolves with its newest as it is then. @throws ProblemError not_found, invalid_request */
export async function editAccount(keys: KeyStore, id: string, wanted: z.output<typeof accountChangeOptions>): Promise<KeyRecord> {
  const { name: called, team, project, tags, limits, budgets, ...scopes } = wanted;
  const newest = async (): Promise<KeyRecord> => {
    const found = (await keys.list()).findLast((key) => accountOf(key) === id);
    if (found) return found;
    throw new ProblemError({ kind: "not_found", message: `There is no account "${id.slice(0, 64)}".` });
  };
  const change = scopesChangeOf(scopes);
  assertRole({ ...(await newest()).scopes, ...change });
  await keys.edit(id, {
    ...tidy({ name: called, team, project, tags }),
    scopes: change,
    ...(limits !== undefined && { limits: limits ?? [] }),
    ...(budgets !== undefined && { budgets: budgets && budgets.length > 0 ? keyBudgetsFrom(id, budgets) : null }),
  });
  return newest();
}

/** As for a new key. @throws ProblemError invalid_request */
function assertRole({ role, surfaces }: { readonly role?: unknown; readonly surfaces?: readonly string[] | null }): void {
  if (role === undefined || role === null || surfaces?.includes(ADMIN)) return;
  throw new ProblemError({
    kind: "invalid_request",
    message: "A role is for the admin API: `surfaces` must name `admin`.",
    param: "role",
  });
}

/** A denial to keep. */
export function newDenial(
  { issuer, subject, token, session, reason, expiresAt }: z.output<typeof denialOptions>,
  author: string,
  clock: Clock,
  randomness: Randomness,
): Denial {
  const kind = subject !== undefined ? "subject" : token !== undefined ? "token" : "session";
  const denied = subject ?? token ?? session ?? "";
  const id = randomness.id("deny_");
  return { id, kind, issuer, value: denied, author, createdAt: clock.now(), ...tidy({ reason, expiresAt }) };
}
