import { z } from "zod";
import { Secret } from "../../canon/index.ts";

const MOST_QUEUED = 1_000_000;
const MOST_BATCH = 2048;
const MOST_MS = 600_000;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}$/;
const HEADER_VALUE = /^[\x20-\x7e]*$/;

const otlpOptions = z.strictObject({
  endpoint: z
    .url({ protocol: /^https?$/ })
    .refine((text) => URL.canParse(text) && new URL(text).username === "", "must hold no credentials; use `headers`")
    .describe("Where the collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`. `/v1/traces` is added where it is not there."),
  headers: z
    .record(
      z.string().regex(HEADER_NAME, "must be the name of a header"),
      z
        .string()
        .max(16_384)
        .regex(HEADER_VALUE, "must be printable ASCII on one line")
        .transform((value) => new Secret(value)),
    )
    .default({})
    .describe("Headers of every export, for the collector's key."),
  service: z.string().min(1).max(200).default("gimbal").describe("`service.name` of the spans."),
  batchCalls: z.int().min(1).max(MOST_BATCH).default(256).describe("Calls in one export at most."),
  everyMs: z.int().min(10).max(MOST_MS).default(1000).describe("Longest that a finished call waits for its export, in milliseconds."),
  queueCalls: z
    .int()
    .min(1)
    .max(MOST_QUEUED)
    .default(8192)
    .describe("Finished calls that wait for export; further ones are dropped and counted."),
  timeoutMs: z.int().min(10).max(MOST_MS).default(10_000).describe("Longest that the collector may take, in milliseconds."),
});

/** `telemetry:` of `gimbal.yaml`. */
export const telemetryOptions = z.strictObject({
  otlp: otlpOptions.optional().describe("Export of spans. Without it nothing is exported."),
  semconv: z
    .enum(["v1.41", "latest", "both"])
    .default("v1.41")
    .describe(
      "Which version of the OpenTelemetry GenAI conventions names the attributes of spans; `both`: what was renamed stands under either name.",
    ),
  sample: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe("Share of the traces that are exported. A caller's `traceparent` decides for its own trace."),
  propagate: z
    .union([z.enum(["all", "none"]), z.array(z.string().min(1).max(200)).max(1000)])
    .default("all")
    .describe("Providers that are sent `traceparent`: `all`, `none`, or their names."),
});

/** `logs:` of `gimbal.yaml`. */
export const logsOptions = z.strictObject({
  format: z.enum(["text", "json"]).default("text").describe("Lines for people, or one JSON object a line."),
  level: z.enum(["debug", "info", "warn", "error"]).default("info").describe("The least that is logged."),
  calls: z
    .enum(["none", "problems", "all"])
    .default("none")
    .describe("Calls that leave a line when they are over: a problem at its kind's own level, the others at `debug`."),
});

export type TelemetryOptions = z.output<typeof telemetryOptions>;
export type OtlpOptions = z.output<typeof otlpOptions>;
export type LogsOptions = z.output<typeof logsOptions>;
