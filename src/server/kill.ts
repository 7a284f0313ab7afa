import type { Hono } from "hono";
import { z } from "zod";
import {
  accountOf,
  ProblemError,
  type Clock,
  type KeyStore,
  type Randomness,
  type Snapshot,
  type Switch,
  type SwitchStore,
} from "../canon/index.ts";
import type { Switches } from "../gateway/switches.ts";
import { nearest } from "../kit/index.ts";
import { readBody } from "./admin-body.ts";
import { actorOf } from "./roles.ts";

const VALUE_LETTERS = 400;
const REASON_LETTERS = 500;

export const killBody = z
  .strictObject({
    scope: z.enum(["model", "provider", "key", "tag", "all"]),
    value: z.string().min(1).max(VALUE_LETTERS).optional(),
    reason: z.string().min(1).max(REASON_LETTERS).optional(),
  })
  .refine(({ scope, value }) => scope === "all" || value !== undefined, { error: "name what is to be switched off", path: ["value"] });

export interface KillDeps {
  readonly store: SwitchStore;
  readonly switches: Switches;
  readonly keys: KeyStore;
  /** Names of those whose tokens services call with. */
  readonly issuers: () => readonly string[];
  readonly snapshot: () => Snapshot;
  readonly clock: Clock;
  readonly randomness: Randomness;
}

/** `/kill`: the kill switches in force. What they cover stops at once here, and within a second in every other process. */
export function mountKill(app: Pick<Hono, "get" | "post" | "delete">, deps: KillDeps): void {
  app.get("/kill", async (context) => context.json({ kills: (await killsOf(deps.store)).map(describe) }));
  app.post("/kill", async (context) => {
    const { scope, value = "*", reason } = await readBody(context, killBody);
    const covered = scope === "all" ? "*" : await nameThere(deps, scope, value);
    const standing = deps.switches.inForce.find((entry) => entry.kind === "kill" && entry.scope === scope && entry.value === covered);
    if (standing) return context.json(describe(standing));
    const entry: Switch = {
      id: deps.randomness.id("kill_"),
      kind: "kill",
      scope,
      value: covered,
      author: actorOf(context),
      createdAt: deps.clock.now(),
      ...(reason !== undefined && { reason }),
    };
    await deps.switches.kill(entry);
    return context.json(describe(entry), 201);
  });
  app.delete("/kill/:id", async (context) => {
    const id = context.req.param("id");
    const standing = (await killsOf(deps.store)).some((entry) => entry.id === id);
    if (!standing || !(await deps.switches.lift(id)))
      throw new ProblemError({ kind: "not_found", message: `There is no kill switch "${id.slice(0, 64)}" in force.` });
    return context.json({ id, lifted: true });
  });
}

async function killsOf(store: SwitchStore): Promise<readonly Switch[]> {
  return (await store.list()).filter(({ kind }) => kind === "kill");
}

function describe({ kind: _kind, ...entry }: Switch): object {
  return entry;
}

/**
 * A switch on a misspelt name would let its maker believe that something has stopped. Tags are the callers' own; nobody lists them. The id of a
 * key stands for its account, under which its calls run.
 */
async function nameThere(deps: KillDeps, scope: Switch["scope"], value: string): Promise<string> {
  const { aliases, providers } = deps.snapshot();
  switch (scope) {
    case "model": {
      const provider = value.slice(0, Math.max(0, value.indexOf("/")));
      if (!aliases.has(value) && !providers.has(provider)) throw missing(scope, value, [...aliases.keys()]);
      return value;
    }
    case "provider":
      if (!providers.has(value)) throw missing(scope, value, [...providers.keys()]);
      return value;
    case "key": {
      const keys = await deps.keys.list();
      const key = keys.find(({ id, name }) => id === value || name === value);
      if (key) return key.id === value ? accountOf(key) : value;
      // A service is known by its issuer alone.
      if (deps.issuers().some((issuer) => value.startsWith(`jwt:${issuer}:`))) return value;
      throw missing(
        scope,
        value,
        keys.map(({ name }) => name),
      );
    }
    case "target":
    case "tag":
    case "all":
      return value;
  }
}

function missing(scope: string, value: string, known: readonly string[]): ProblemError {
  const like = nearest(value, known);
  return new ProblemError({
    kind: "not_found",
    message: `There is no ${scope} "${value.slice(0, 200)}", so nothing was switched off.${like ? ` Did you mean "${like}"?` : ""}`,
    param: "value",
  });
}
