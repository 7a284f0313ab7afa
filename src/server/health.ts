import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type Clock, type SwitchStore } from "../canon/index.ts";
import type { ServerWatch } from "../providers/servers/watch.ts";
import { keepForced, type Health } from "../routing/health/index.ts";

const NAME_LETTERS = 400;
const name = z.string().min(1).max(NAME_LETTERS);

export const forceBody = z
  .strictObject({
    target: name
      .regex(/^[^/]+\/.+$/, "must be provider/model")
      .optional()
      .describe("`provider/model`."),
    provider: name.optional().describe("All targets of a provider."),
    force: z.enum(["open", "shut", "auto"]).describe("`open`: always asked. `shut`: never. `auto`: as its health says."),
  })
  .refine((body) => (body.target === undefined) !== (body.provider === undefined), "name either a target or a provider");

/** What is known of the servers that tell of themselves. */
export type ServersHealth = Pick<ServerWatch, "describe">;

export interface HealthDeps {
  /** Of the process that answers; each has its own. */
  readonly health: Health;
  /** The same. */
  readonly servers: ServersHealth;
  /** Where a person's word is kept: it holds in every process, and after a restart. */
  readonly switches: SwitchStore;
  readonly clock: Clock;
}

/** `/health/targets`: how targets and keys are, and a person's word on them. */
export function mountHealth(app: Pick<Hono, "get" | "post">, { health, servers, switches, clock }: HealthDeps): void {
  app.get("/health/targets", (context) => context.json({ ...health.describe(), servers: servers.describe() }));
  app.post("/health/targets", async (context) => {
    const body: unknown = await context.req.json().catch(() => undefined);
    if (body === undefined) throw new ProblemError({ kind: "invalid_request", message: "The body is not JSON." });
    const parsed = forceBody.safeParse(body);
    if (!parsed.success) throw refused(parsed.error);
    const { target, provider, force } = parsed.data;
    const scope = target === undefined ? "provider" : "target";
    const value = target ?? provider ?? "";
    const missing = scope === "provider" ? value : value.slice(0, value.indexOf("/"));
    if (force !== "auto" && !health.knows(missing))
      throw new ProblemError({
        kind: "not_found",
        message: `There is no provider "${missing}" in the configuration in force.`,
        param: scope,
      });
    await keepForced(switches, { scope, value, force, author: "admin", now: clock.now() });
    // Other processes hear of it within a second; whoever asked finds it in force here.
    health.applySwitches(await switches.list());
    return context.json({ [scope]: value, force });
  });
}

function refused(error: z.ZodError): ProblemError {
  const [issue] = error.issues;
  const param = issue?.code === "unrecognized_keys" ? issue.keys[0] : issue?.path.join(".");
  return new ProblemError({
    kind: "invalid_request",
    message: `The body is not valid: ${issue?.message ?? "unknown"}.`,
    ...(param ? { param } : {}),
  });
}
