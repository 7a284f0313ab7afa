import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type Clock, type Denial, type KeyStore, type Randomness } from "../canon/index.ts";
import { readBody } from "./admin-body.ts";
import { moment } from "./keys.ts";
import { actorOf } from "./roles.ts";

const VALUE_LETTERS = 512;
const REASON_LETTERS = 500;

const value = z.string().min(1).max(VALUE_LETTERS);
const denialBody = z
  .strictObject({
    /** The issuer's name in the configuration; `oidc` for people. */
    issuer: z.string().min(1).max(100),
    /** `sub`: all its tokens and sessions. */
    subject: value.optional(),
    /** `jti`: one token. */
    token: value.optional(),
    /** One session of the admin API, by the id that the audit gives it. */
    session: value.optional(),
    reason: z.string().min(1).max(REASON_LETTERS).optional(),
    expiresAt: moment.optional(),
  })
  .refine(({ subject, token, session }) => [subject, token, session].filter((named) => named !== undefined).length === 1, {
    error: "name one of subject, token and session",
  });

export interface DenialDeps {
  readonly keys: KeyStore;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly forgetKeys: () => void;
}

/** `/denials`: whom an issuer vouches for, and who is not let in all the same. */
export function mountDenials(app: Pick<Hono, "get" | "post" | "delete">, { keys, clock, randomness, forgetKeys }: DenialDeps): void {
  app.get("/denials", async (context) => context.json({ denials: await keys.denials(clock.now()) }));
  app.post("/denials", async (context) => {
    const { issuer, subject, token, session, reason, expiresAt } = await readBody(context, denialBody);
    const kind = subject !== undefined ? "subject" : token !== undefined ? "token" : "session";
    const entry: Denial = {
      id: randomness.id("deny_"),
      kind,
      issuer,
      value: subject ?? token ?? session ?? "",
      author: actorOf(context),
      createdAt: clock.now(),
      ...(reason !== undefined && { reason }),
      ...(expiresAt !== undefined && { expiresAt }),
    };
    await keys.deny(entry);
    forgetKeys();
    return context.json(entry, 201);
  });
  app.delete("/denials/:id", async (context) => {
    const id = context.req.param("id");
    if (!(await keys.allow(id)))
      throw new ProblemError({ kind: "not_found", message: `There is no denial "${id.slice(0, 64)}" that could be lifted.` });
    forgetKeys();
    return context.json({ id, lifted: true });
  });
}
