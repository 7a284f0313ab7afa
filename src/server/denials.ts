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
  /** Names of the issuers that the configuration trusts. */
  readonly issuers: () => readonly string[];
}

/** `/denials`: whom an issuer vouches for, and who is not let in all the same. */
export function mountDenials(
  app: Pick<Hono, "get" | "post" | "delete">,
  { keys, clock, randomness, forgetKeys, issuers }: DenialDeps,
): void {
  app.get("/denials", async (context) => context.json({ denials: await keys.denials(clock.now()) }));
  app.post("/denials", async (context) => {
    const entry = newDenial(await readBody(context, denialOptions), actorOf(context), clock, randomness);
    // A misspelt name would let its maker believe that somebody is kept out.
    if (!issuers().includes(entry.issuer))
      throw new ProblemError({
        kind: "not_found",
        message: `There is no issuer "${entry.issuer}", so nobody was denied.${issuers().length === 0 ? "" : ` There are: ${issuers().join(", ")}.`}`,
        param: "issuer",
      });
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
