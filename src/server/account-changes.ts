import type { Hono } from "hono";
import { ProblemError, type KeyRecord, type KeyStore } from "../canon/index.ts";
import { accountChangeOptions, editAccount, groupChangeOptions } from "../gateway/account-changes.ts";
import { scopesChangeOf, tidy } from "../gateway/scope-options.ts";
import { readBody } from "./admin-body.ts";
import { name } from "./keys.ts";

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
    const changed = await editAccount(keys, id, await readBody(context, accountChangeOptions));
    forgetKeys();
    return context.json({ id, ...shown(changed) });
  });
  const change = (group: "team" | "project"): void => {
    app.patch(`/${group}s/:name{.+}`, async (context) => {
      const called = name.safeParse(context.req.param("name"));
      if (!called.success) throw new ProblemError({ kind: "invalid_request", message: `That is no name of a ${group}.` });
      const scopes = await keys.bound(group, called.data, scopesChangeOf(await readBody(context, groupChangeOptions)));
      forgetKeys();
      return context.json({ name: called.data, scopes });
    });
  };
  change("team");
  change("project");
}

function shown({ name: called, team, project, tags, scopes, limits, budgets }: KeyRecord): object {
  return tidy({ name: called, team, project, tags, scopes, limits, budgets: budgets?.map((budget) => budget.id) });
}
