import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type Alias, type ConfigStore, type LedgerRow, type LedgerStore, type Snapshot } from "../canon/index.ts";
import { abortCanary, canarySince, promoteCanary, type ConfigControl } from "../config/index.ts";
import { nearest } from "../kit/index.ts";
import { figuresOf } from "../ledger/compare.ts";
import { readBody, readQuery } from "./admin-body.ts";
import { changed, present } from "./release.ts";
import { actorOf } from "./roles.ts";

/** Rows that a comparison reads, newest first. */
const COMPARED_ROWS = 5000;
const MOST_MINUTES = 90 * 24 * 60;
const MS_PER_MINUTE = 60_000;
const ARMS = ["canary", "warm", "main"] as const;

export const compareQuery = z.strictObject({ minutes: z.coerce.number().positive().max(MOST_MINUTES).optional() });
export const promoteBody = z.strictObject({ alone: z.boolean().default(false), base: z.number().int().positive().optional() });
export const abortBody = promoteBody.omit({ alone: true });

export interface CanaryDeps {
  readonly config: ConfigStore;
  readonly control: ConfigControl | undefined;
  readonly ledger: LedgerStore;
  readonly snapshot: () => Snapshot;
  readonly now: () => number;
}

/**
 * `GET /models/NAME/canary` compares the parts of a model's calls, by default since its canary has the targets it has now;
 * `POST .../canary/promote` and `.../canary/abort` decide.
 */
export function mountCanary(app: Pick<Hono, "get" | "post">, deps: CanaryDeps): void {
  const { config, control, ledger, snapshot, now } = deps;
  app.get("/models/:name{.+}/canary", async (context) => {
    const alias = aliasOf(snapshot(), context.req.param("name"));
    const { minutes } = readQuery(context, compareQuery);
    const since = minutes === undefined ? ((await canarySince(config, alias.name)) ?? 0) : now() - minutes * MS_PER_MINUTE;
    const rows = await ledger.list({ limit: COMPARED_ROWS, model: alias.name, since });
    return context.json({
      model: alias.name,
      ...(alias.canary && { canary: { ...alias.canary, targets: alias.canary.targets.map(nameOf) } }),
      ...(alias.warm && { warm: { target: nameOf(alias.warm.target), share: alias.warm.share } }),
      since,
      complete: rows.length < COMPARED_ROWS,
      arms: armsOf(rows),
    });
  });
  app.post("/models/:name{.+}/canary/promote", async (context) => {
    const { alone, base } = await readBody(context, promoteBody);
    const name = context.req.param("name");
    const made = await present(control).change(actorOf(context), (text) => promoteCanary(text, name, alone), base);
    return context.json(await changed(config, made));
  });
  app.post("/models/:name{.+}/canary/abort", async (context) => {
    const { base } = await readBody(context, abortBody);
    const name = context.req.param("name");
    const made = await present(control).change(actorOf(context), (text) => abortCanary(text, name), base);
    return context.json(await changed(config, made));
  });
}

function armsOf(rows: readonly LedgerRow[]): Readonly<Record<string, object>> {
  return Object.fromEntries(ARMS.map((name) => [name, figuresOf(rows.filter(({ arm }) => arm === name))]));
}

/** @throws ProblemError not_found, naming the nearest */
export function aliasOf({ aliases }: Snapshot, name: string): Alias {
  const alias = aliases.get(name);
  if (alias) return alias;
  const like = nearest(name, [...aliases.keys()]);
  throw new ProblemError({
    kind: "not_found",
    message: `There is no model "${name.slice(0, 200)}".${like ? ` Did you mean "${like}"?` : ""}`,
  });
}

function nameOf({ provider, model }: Alias["targets"][number]): string {
  return `${provider}/${model}`;
}
