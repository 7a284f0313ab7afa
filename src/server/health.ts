import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError } from "../canon/index.ts";
import type { Health } from "../routing/health/index.ts";

const NAME_LETTERS = 400;
const name = z.string().min(1).max(NAME_LETTERS);

const forceBody = z
  .strictObject({
    target: name
      .regex(/^[^/]+\/.+$/, "must be provider/model")
      .optional()
      .describe("`provider/model`."),
    provider: name.optional().describe("All targets of a provider."),
    force: z.enum(["open", "shut", "auto"]).describe("`open`: always asked. `shut`: never. `auto`: as its health says."),
  })
  .refine((body) => (body.target === undefined) !== (body.provider === undefined), "name either a target or a provider");

/** `/health/targets`: how targets and keys are, and a person's word on them. Both hold for the process that answers. */
export function mountHealth(app: Pick<Hono, "get" | "post">, health: Health): void {
  app.get("/health/targets", (context) => context.json(health.describe()));
  app.post("/health/targets", async (context) => {
    const body: unknown = await context.req.json().catch(() => undefined);
    if (body === undefined) throw new ProblemError({ kind: "invalid_request", message: "The body is not JSON." });
    const parsed = forceBody.safeParse(body);
    if (!parsed.success) throw refused(parsed.error);
    const { target, provider = "", force } = parsed.data;
    const slash = target?.indexOf("/") ?? -1;
    const forced =
      target === undefined
        ? health.force(provider, undefined, force)
        : health.force(target.slice(0, slash), target.slice(slash + 1), force);
    if (!forced) {
      const missing = target === undefined ? provider : target.slice(0, slash);
      throw new ProblemError({
        kind: "not_found",
        message: `There is no provider "${missing}" in the configuration in force.`,
        param: target === undefined ? "provider" : "target",
      });
    }
    return context.json({ ...(target === undefined ? { provider } : { target }), force });
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
