import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type ConfigStore, type ConfigVersion, type Json } from "../canon/index.ts";
import { diffVersions, maskSecrets, patchModel, type ConfigControl } from "../config/index.ts";
import { readBody, readQuery } from "./admin-body.ts";
import { actorOf } from "./roles.ts";

const MOST_VERSIONS = 1000;
const LISTED_VERSIONS = 50;

export const versionsQuery = z.strictObject({ limit: z.coerce.number().int().min(1).max(MOST_VERSIONS).default(LISTED_VERSIONS) });
const version = z.number().int().positive();
export const rollbackBody = z.strictObject({ version, base: version.optional() });

/** Members of an alias as they are written in `gimbal.yaml`; which there are is for the configuration's own schema to say. */
export const modelBody = z.looseObject({
  weights: z.record(z.string().min(1), z.number().nonnegative()).optional(),
  base: version.optional(),
});

export interface ReleaseDeps {
  readonly config: ConfigStore;
  /** Undefined while the gateway runs without a configuration file. */
  readonly control: ConfigControl | undefined;
}

/** Versions of the configuration, the way back to them, and changes to one model. */
export function mountRelease(app: Pick<Hono, "get" | "post" | "patch">, { config, control }: ReleaseDeps): void {
  app.get("/config/versions", async (context) => {
    const { limit } = readQuery(context, versionsQuery);
    // One more, for what the oldest of them changed.
    const versions = await config.list(limit + 1);
    const described = versions.slice(0, limit).map((entry, place) => describe(entry, versions[place + 1]));
    return context.json({ inForce: control?.version.version ?? 0, versions: described });
  });
  app.get("/config/versions/:version", async (context) => {
    const number = Number(context.req.param("version"));
    const entry = Number.isSafeInteger(number) && number > 0 ? await config.read(number) : undefined;
    if (!entry)
      throw new ProblemError({
        kind: "not_found",
        message: `There is no version "${context.req.param("version").slice(0, 64)}" of the configuration.`,
      });
    const before = entry.version > 1 ? await config.read(entry.version - 1) : undefined;
    return context.json({ ...describe(entry, before), text: maskSecrets(entry.text), diff: diffVersions(before, entry) });
  });
  app.post("/config/rollback", async (context) => {
    const body = await readBody(context, rollbackBody);
    const made = await present(control).rollback(body.version, actorOf(context), body.base);
    return context.json(await changed(config, made));
  });
  app.patch("/models/:name{.+}", async (context) => {
    const { weights, base, ...members } = await readBody(context, modelBody);
    if (!weights && Object.keys(members).length === 0)
      throw new ProblemError({ kind: "invalid_request", message: "Nothing is to be changed: name `weights` or members of the model." });
    const name = context.req.param("name");
    const patch = { weights, members: members as Record<string, Json> };
    const made = await present(control).change(actorOf(context), (text) => patchModel(text, name, patch), base);
    return context.json(await changed(config, made));
  });
}

/** @throws ProblemError unsupported */
export function present(control: ConfigControl | undefined): ConfigControl {
  if (control) return control;
  throw new ProblemError({
    kind: "unsupported",
    message: "Gimbal runs without a configuration file, so there is nothing to change. `gimbal init` writes one.",
  });
}

/** The version as the store has it now, with since when it is in force. */
export async function changed(config: ConfigStore, made: ConfigVersion): Promise<object> {
  return describe((await config.read(made.version)) ?? made, undefined);
}

/**
 * A version for people and programs, without its text. `tookMs`: from its making until the last process served by it. `stoodMs`: how long
 * the version before it had been the newest, which for a rollback is how long the bad one stood.
 */
function describe(entry: ConfigVersion, before: ConfigVersion | undefined): object {
  const { text: _text, createdAt, ...rest } = entry;
  return {
    ...rest,
    createdAt,
    ...(rest.inForce && { tookMs: Math.max(0, rest.inForce.last - createdAt) }),
    ...(before && { stoodMs: createdAt - before.createdAt, changed: changedLines(before, entry) }),
  };
}

function changedLines(before: ConfigVersion, after: ConfigVersion): { readonly added: number; readonly removed: number } {
  const lines = diffVersions(before, after)
    .split("\n")
    .filter((line) => !line.startsWith("+++") && !line.startsWith("---"));
  const count = (sign: string): number => lines.filter((line) => line.startsWith(sign)).length;
  return { added: count("+"), removed: count("-") };
}
