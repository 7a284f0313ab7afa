import type { Context, Hono } from "hono";
import { z } from "zod";
import { ProblemError, type Clock, type KeyStore, type Randomness } from "../canon/index.ts";
import { scopeShape, scopesOf, tidy } from "../gateway/scope-options.ts";
import { addKey, newKey, rotateKey, type MadeKey } from "../gateway/keys.ts";
import { keyBudgetsFrom, keyBudgetsOptions, keyLimitsOptions } from "../ledger/options.ts";
import { readBody } from "./admin-body.ts";
import { ADMIN, ROLES } from "./roles.ts";

const MS_PER_HOUR = 3_600_000;
/** Hours that a rotated key goes on, when the request does not say. */
export const OVERLAP_HOURS = 24;
export const MOST_OVERLAP_HOURS = 90 * 24;

export const name = z.string().min(1).max(100);
/** Milliseconds since 1970, or an ISO date. */
const moment = z.union([z.number().int().positive(), z.iso.datetime().transform((text) => Date.parse(text))]);

export const keyBody = z
  .strictObject({
    name,
    team: name.optional(),
    project: name.optional(),
    tags: z.array(name).max(50).optional(),
    ...scopeShape,
    role: z.enum(ROLES).optional(),
    limits: keyLimitsOptions.optional(),
    budgets: keyBudgetsOptions.optional(),
    expiresAt: moment.optional(),
  })
  .refine(({ role, surfaces }) => role === undefined || surfaces?.includes(ADMIN), {
    error: "a role is for the admin API: `surfaces` must name `admin`",
    path: ["role"],
  });

export const rotateBody = z.strictObject({
  /** How long the old key goes on. */
  overlapHours: z.number().min(0).max(MOST_OVERLAP_HOURS).default(OVERLAP_HOURS),
  expiresAt: moment.optional(),
});
export const addBody = z.strictObject({ expiresAt: moment.optional() });

export interface KeyDeps {
  readonly keys: KeyStore;
  readonly clock: Clock;
  readonly randomness: Randomness;
  /** What this process remembers of keys is out of date. */
  readonly forgetKeys: () => void;
}

/** `/keys`: makes, lists, rotates and revokes them; `POST /accounts/ID/keys`: one more for the same account. */
export function mountKeys(app: Pick<Hono, "get" | "post" | "delete">, deps: KeyDeps): void {
  const { keys, clock, randomness, forgetKeys } = deps;
  app.post("/keys", async (context) => {
    const { name: called, team, project, tags, limits = [], budgets, expiresAt, ...scopes } = await readBody(context, keyBody);
    const spec = tidy({ name: called, team, project, tags, expiresAt });
    const made = newKey({ ...spec, scopes: scopesOf(scopes), limits }, clock, randomness);
    const { record } = made;
    await keys.create(budgets === undefined || budgets.length === 0 ? record : { ...record, budgets: keyBudgetsFrom(record.id, budgets) });
    forgetKeys();
    return shown(context, made);
  });
  app.get("/keys", async (context) => context.json({ keys: (await keys.list()).map(({ hash: _hash, ...key }) => key) }));
  app.post("/keys/:id/rotate", async (context) => {
    const { overlapHours, expiresAt } = await readBody(context, rotateBody);
    const made = await rotateKey(deps, context.req.param("id"), Math.round(overlapHours * MS_PER_HOUR), expiresAt);
    forgetKeys();
    return shown(context, made, { previous: made.previous });
  });
  app.post("/accounts/:id/keys", async (context) => {
    const { expiresAt } = await readBody(context, addBody);
    const made = await addKey(deps, context.req.param("id"), expiresAt);
    forgetKeys();
    return shown(context, made);
  });
  app.delete("/keys/:id", async (context) => {
    const id = context.req.param("id");
    if (!(await keys.revoke(id, clock.now())))
      throw new ProblemError({ kind: "not_found", message: `There is no key "${id.slice(0, 64)}" that could be revoked.` });
    forgetKeys();
    return context.json({ id, revoked: true });
  });
}

function shown(context: Context, { key, record: { id, prefix, account, expiresAt } }: MadeKey, more: object = {}): Response {
  return context.json(
    { id, key, prefix, ...(account !== undefined && { account }), ...(expiresAt !== undefined && { expiresAt }), ...more },
    201,
  );
}
