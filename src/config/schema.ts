import { z } from "zod";
import { aliasCacheOptions, cacheOptions } from "../cache/options.ts";
import { batchesOptions, filesOptions } from "../batches/index.ts";
import { accessOptions } from "../gateway/options.ts";
import { passthroughOptions } from "../gateway/passthrough-options.ts";
import { identityOptions } from "../gateway/identity-options.ts";
import { storageOptions } from "../stores/options.ts";
import { auditOptions } from "../ledger/audit/options.ts";
import { pricingOptions } from "../models/index.ts";
import { budgetsOptions, limitsOptions as callerLimitsOptions } from "../ledger/options.ts";
import { aliasLineageOption, lineageOptions } from "../ledger/lineage/options.ts";
import { contentOptions } from "../ledger/content/options.ts";
import { logsOptions, telemetryOptions } from "../ledger/telemetry/options.ts";
import { reportsOptions } from "../ledger/reports/options.ts";
import { mcpOptions } from "../tools/options.ts";
import { providerOptions } from "../providers/options.ts";
import { serversOptions } from "../providers/servers/options.ts";
import { simOptions } from "../providers/sim/options.ts";
import { attemptShape } from "../routing/attempt-options.ts";
import { healthOptions } from "../routing/health/options.ts";
import { planShape } from "../routing/options.ts";
import { releaseShape } from "../routing/release-options.ts";
import { retryOptions } from "../routing/retry-options.ts";
import { serveOptions } from "./serve.ts";

const name = z.string().min(1).max(200);
/** An alias: where its calls go, how a target is tried, and what is kept of the answers. */
const alias = z.strictObject({
  ...planShape,
  ...attemptShape,
  ...releaseShape,
  cache: aliasCacheOptions.optional(),
  lineage: aliasLineageOption.optional(),
});

const model = z.union([name, alias], { error: "A model is `provider/model`, or a mapping with `targets`." });

/** The whole of `gimbal.yaml`: every room's own options in one schema. Unknown keys are refused. */
export const configSchema = z.strictObject({
  version: z.literal(1, { error: "The configuration begins with `version: 1`." }).describe("Version of this file's format: 1."),
  offline: z
    .boolean()
    .default(false)
    .describe("Nothing may need a network: whatever is configured and would need more than this machine is refused. See docs/local.md."),
  providers: z
    .record(name, providerOptions)
    .default({})
    .describe("Where models run: by the name of a catalogue row, or a name of your own with `kind`."),
  models: z
    .record(name, model)
    .default({})
    .describe("Names that callers may use, and what stands behind them. The short form is one target."),
  sim: simOptions.prefault({}).describe("The simulator."),
  limits: callerLimitsOptions.describe("Rate limits. A key's own limits take the place of those that are for keys."),
  budgets: budgetsOptions.describe("How much may be spent. Every budget that covers a call must have room for it."),
  cache: cacheOptions.prefault({}),
  files: filesOptions.prefault({}).describe("Files that callers keep here. See docs/batches.md."),
  batches: batchesOptions.prefault({}).describe("Calls that nobody waits for. See docs/batches.md."),
  pricing: pricingOptions.prefault({}).describe("What calls cost."),
  access: accessOptions.describe("Who may call without a key."),
  identity: identityOptions.describe("Who vouches for people and services. See docs/callers.md."),
  health: healthOptions.describe(
    "When targets and keys are left alone, and how much runs at once. Each process counts for itself; what it finds out (a breaker opened or closed, a rest, a refused key) all processes of the record go by at once. Concurrency holds for each process.",
  ),
  servers: serversOptions.describe("How servers of models are looked after that tell of themselves. See docs/servers.md."),
  retry: retryOptions.describe("How failed attempts are repeated."),
  passthrough: passthroughOptions,
  serve: serveOptions.describe("Where and within which bounds the gateway serves."),
  reports: reportsOptions.prefault({}).describe("What reports tell calls apart by. See docs/reports.md."),
  lineage: lineageOptions.prefault({}).describe("What is recorded of where answers come from."),
  content: contentOptions.prefault({}).describe("Whose prompts and answers are stored, and for how long. See docs/content.md."),
  telemetry: telemetryOptions.prefault({}).describe("What is told of calls to collectors. See docs/telemetry.md."),
  logs: logsOptions.prefault({}).describe("What the gateway writes to standard error."),
  audit: auditOptions.prefault({}).describe("How the audit is signed."),
  mcp: mcpOptions,
  storage: storageOptions.prefault({}).describe("How the record on disk is written."),
});

export type ConfigValues = z.output<typeof configSchema>;
