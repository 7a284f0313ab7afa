import type { Hono } from "hono";
import { z } from "zod";
import { accountOf, ProblemError, type KeyRecord, type KeyStore } from "../canon/index.ts";
import { scopeChangeShape, scopesChangeOf, tidy } from "../gateway/scope-options.ts";
import { keyBudgetsFrom, keyBudgetsOptions, keyLimitsOptions } from "../ledger/options.ts";
import { readBody } from "./admin-body.ts";
import { name } from "./keys.ts";
import { ADMIN, ROLES } from "./roles.ts";

const accountChange = z.strictObject({
  name: name.optional(),
  team: name.nullable().optional(),
  project: name.nullable().optional(),
  tags: z.array(name).max(50).nullable().optional(),
  ...scopeChangeShape,
  role: z.enum(ROLES).nullable().optional(),
  limits: keyLimitsOptions.nullable().optional(),
  budgets: keyBudgetsOptions.nullable().optional(),
});
const groupChange = z.strictObject(scopeChangeShape);

export interface AccountChangeDeps {
  readonly keys: KeyStore;
  /** What this process remembers of keys is out of date. */
  readonly forgetKeys: () => void;
}

/**
 * `PATCH /accounts/ID`: every key of the account at once; `PATCH /teams/NAME`, `/projects/NAME`: what all of theirs may do at most. What is
 * not named stays, null takes it away; it holds for the next call.
 */
export function mountAccountChanges(app: Pick<Hono, "patch">, { keys, forgetKeys }: AccountChangeDeps): void {
  app.patch("/accounts/:id", async (context) => {
    const id = context.req.param("id");
    const { name: called, team, project, tags, limits, budgets, ...scopes } = await readBody(context, accountChange);
    const newest = (await keys.list()).findLast((key) => accountOf(key) === id);
    if (!newest) throw noAccount(id);
    const change = scopesChangeOf(scopes);
    assertRole({ ...newest.scopes, ...change });
    const changed = await keys.edit(id, {
      ...tidy({ name: called, team, project, tags }),
      scopes: change,
      ...(limits !== undefined && { limits: limits ?? [] }),
      ...(budgets !== undefined && { budgets: budgets && budgets.length > 0 ? keyBudgetsFrom(id, budgets) : null }),
    });
    if (!changed) throw noAccount(id);
    forgetKeys();
    const now = (await keys.list()).findLast((key) => accountOf(key) === id);
    return context.json({ id, ...(now && shown(now)) });
  });
  const change = (group: "team" | "project"): void => {
    app.patch(`/${group}s/:name{.+}`, async (context) => {
      const called = name.safeParse(context.req.param("name"));
      if (!called.success) throw new ProblemError({ kind: "invalid_request", message: `That is no name of a ${group}.` });
      const scopes = await keys.bound(group, called.data, scopesChangeOf(await readBody(context, groupChange)));
      forgetKeys();
      return context.json({ name: called.data, scopes });
    });
  };
  change("team");
  change("project");
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

function shown({ name: called, team, project, tags, scopes, limits, budgets }: KeyRecord): object {
  return tidy({ name: called, team, project, tags, scopes, limits, budgets: budgets?.map((budget) => budget.id) });
}

function noAccount(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no account "${id.slice(0, 64)}".` });
}
