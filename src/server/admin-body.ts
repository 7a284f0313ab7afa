import type { Context } from "hono";
import type { z } from "zod";
import { ProblemError } from "../canon/index.ts";

/** The request's JSON body. @throws ProblemError invalid_request, naming the field */
export async function readBody<T>(context: Context, schema: z.ZodType<T>): Promise<T> {
  let body: unknown;
  try {
    body = await context.req.json();
  } catch {
    throw new ProblemError({ kind: "invalid_request", message: "The body is not JSON." });
  }
  return checked("body", schema, body);
}

/** The request's query. @throws ProblemError invalid_request, naming the field */
export function readQuery<T>(context: Context, schema: z.ZodType<T>): T {
  return checked("query", schema, context.req.query());
}

function checked<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const param = issue?.code === "unrecognized_keys" ? issue.keys[0] : issue?.path.join(".");
  throw new ProblemError({
    kind: "invalid_request",
    message: `The ${what} is not valid: ${param ? `${param}: ` : ""}${issue?.message ?? "unknown"}.`,
    ...(param ? { param } : {}),
  });
}
