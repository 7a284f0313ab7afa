import type { Hono } from "hono";
import { ProblemError, type Clock, type KeyStore, type Randomness } from "../canon/index.ts";
import { denialOptions, newDenial } from "../gateway/account-changes.ts";
import { readBody } from "./admin-body.ts";
import { actorOf } from "./roles.ts";

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
    const entry = newDenial(await readBody(context, denialOptions), actorOf(context), clock, randomness);
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
