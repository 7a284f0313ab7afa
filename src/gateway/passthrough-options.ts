import { z } from "zod";

const MOST_PATHS = 200;
const MOST_HEADERS = 50;
const MOST_USD = 1_000_000;
const MOST_BYTES = 2 ** 40;
const bytes = (meaning: string) => z.int().min(1).max(MOST_BYTES).optional().describe(meaning);

/** Whatever tells who calls, or governs the connection: the gateway's own affair. */
const NEVER_PASSED =
  /^(?:authorization|cookie|.*api-?key.*|.*token.*|.*secret.*|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-length|proxy-.*|forwarded|via|x-forwarded-.*|x-real-ip|x-gimbal-.*)$/i;

const rule = z.strictObject({
  paths: z
    .array(
      z
        .string()
        .max(500)
        .regex(/^\/[A-Za-z0-9\-._~!$&'()+,;=:@/]*\*?$/, "begins with a slash; only its end may be `*`"),
    )
    .min(1)
    .max(MOST_PATHS)
    .describe("Paths that may be asked for, below the provider's address; a trailing `*` matches any rest."),
  methods: z
    .array(z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]))
    .min(1)
    .default(["GET", "POST", "PUT", "PATCH", "DELETE"])
    .describe("Methods that may be used."),
  headers: z
    .array(
      z
        .string()
        .regex(/^[A-Za-z0-9-]{1,100}$/, "must be a header name")
        .refine((name) => !NEVER_PASSED.test(name), "is never passed on"),
    )
    .max(MOST_HEADERS)
    .default([])
    .describe("Headers of the client that go along, besides `content-type` and `accept`."),
  requestBytes: bytes("Largest body that is passed on, in bytes; it passes while it comes. Default: `serve.limits.bodyBytes`."),
  answerBytes: bytes("Largest answer that is passed back, in bytes; it passes while it comes. Default: `serve.limits.answerBytes`."),
  perCallUsd: z
    .number()
    .min(0)
    .max(MOST_USD)
    .optional()
    .describe("What a request costs, in dollars. Without it, callers under a budget in dollars are refused."),
});

/** `passthrough`: by the names of providers. */
export const passthroughOptions = z
  .record(z.string().min(1).max(200), rule)
  .default({})
  .describe("Endpoints of providers that are passed on unread, under `/passthrough/PROVIDER/...`. Default: none. See docs/network.md.");
