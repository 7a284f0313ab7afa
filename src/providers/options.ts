import { z } from "zod";
import { Secret } from "../canon/index.ts";
import { capabilityOptions, modelFactShape, priceOptions, type ModelOverlay, type ModelOverride } from "../models/index.ts";
import { SERVICE_NAMES } from "./catalog-batches.ts";
import { localModelShape } from "./local/options.ts";
import { placeName, placeShape } from "./place.ts";
import { warmModelShape } from "./servers/options.ts";
import { taskOptions } from "./task-options.ts";

/** The kind whose models run on this machine. */
export const IN_PROCESS = "local";

const name = z.string().min(1).max(200);
const milliseconds = (fallback: number, meaning: string) => z.int().positive().max(3_600_000).default(fallback).describe(meaning);

/** Visible ASCII: a key that was pasted with a line break would otherwise end up as another header. */
const HEADER_VALUE = /^[\x20-\x7e]*$/;
const secret = z
  .string()
  .min(1)
  .max(16_384)
  .regex(HEADER_VALUE, "must be printable ASCII on one line")
  .transform((value) => new Secret(value));

/** Set by the connection, the dialect or the credentials; a configured one would break or betray them. */
const RESERVED_HEADERS =
  /^(?:host|connection|content-length|content-type|content-encoding|accept-encoding|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*)$/;

const headerName = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, "must be a header name")
  .refine((header) => !RESERVED_HEADERS.test(header.toLowerCase()), "is set by the connection itself");

const MOST_KEYS = 100;
const MOST_ATTEMPTS = 1_000_000;
const MOST_WEIGHT = 1_000_000;

const PEM_CHARACTERS = 1_048_576;
const pem = (meaning: string) => z.string().min(1).max(PEM_CHARACTERS).describe(`${meaning} PEM, or the path of a file that holds it.`);
const secretPem = (meaning: string) => pem(meaning).transform((value) => new Secret(value));

/** How its handshakes go. */
const tlsOptions = z
  .strictObject({
    ca: pem("Certificates of the authorities that it may be vouched for by, instead of the system's.").optional(),
    cert: pem("The certificate that this gateway shows it (mutual TLS); goes with `key`.").optional(),
    key: secretPem("The certificate's private key.").optional(),
    passphrase: secret.optional().describe("What the private key is encrypted with."),
    servername: z
      .string()
      .max(253)
      .regex(/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/, "must be a host name")
      .optional()
      .describe("The name that its certificate must be for, where that is not the host of baseUrl."),
  })
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
    error: "`cert` and `key` belong together: set both or neither.",
    path: ["key"],
  });

const concurrency = (meaning: string) => z.int().min(1).max(MOST_ATTEMPTS).optional().describe(meaning);

const keyWithLimits = z.strictObject({
  key: secret.describe("The key itself."),
  weight: z.number().positive().max(MOST_WEIGHT).default(1).describe("Share of the attempts it takes while all keys are well."),
  requestsPerMinute: z
    .int()
    .min(1)
    .max(MOST_ATTEMPTS)
    .optional()
    .describe("Attempts it takes in any minute; further ones take another key or wait."),
  concurrency: concurrency("Attempts it takes at once; further ones take another key or wait."),
});
/** A key alone, or a key with limits of its own; after parsing always the latter. */
const oneOfSeveralKeys = z.union([secret.transform((key): z.output<typeof keyWithLimits> => ({ key, weight: 1 })), keyWithLimits], {
  error: "A key is a text, or `{ key, weight, requestsPerMinute, concurrency }`.",
});

const modelOptions = z.strictObject({
  price: priceOptions.optional(),
  sameAs: name
    .regex(/^[^/]+\/.+$/, "must be provider/model")
    .optional()
    .describe("`provider/model` whose prices and abilities it shares: for deployments with a name of their own."),
  displayName: name.optional().describe("Its name for people."),
  contextTokens: z.int().positive().optional().describe("Tokens it can read and write in one call."),
  maxOutputTokens: z.int().positive().optional().describe("Tokens it can write in one answer."),
  capabilities: capabilityOptions.optional(),
  ...modelFactShape,
  ...localModelShape,
  ...warmModelShape,
  concurrency: concurrency("Attempts at it that run at once; further ones wait, see `health.queue`."),
});

/** One entry of `providers:`. Parsed secrets are of the type that cannot be printed. */
const providerFields = z.strictObject({
  kind: name.optional().describe("Row of the catalogue; needed when the entry's own name is not one. See docs/providers.md."),
  baseUrl: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe("Where it answers; most kinds know their own. See docs/providers.md."),
  apiKey: secret.optional().describe("Its key; without one, the kind's environment variable is read, unless baseUrl is set."),
  apiKeys: z
    .array(oneOfSeveralKeys)
    .min(1)
    .max(MOST_KEYS)
    .optional()
    .describe(
      "Several keys, instead of `apiKey`: each attempt takes one that is well and has the least to do for its weight. A key that is refused or at its limit rests, and the next one is taken at once.",
    ),
  concurrency: concurrency("Attempts over all its models that run at once; further ones wait, see `health.queue`."),
  dialects: z.array(name).min(1).optional().describe("Wire languages it speaks, preferred first."),
  headers: z.record(headerName, secret).optional().describe("Further headers of every request."),
  apiVersion: z
    .string()
    .regex(/^[\w.-]+$/)
    .optional()
    .describe("Dated version of an API that has one path for each deployment."),
  allowPrivateNetwork: z
    .boolean()
    .optional()
    .describe("May it be on this machine or in a private network? Kinds of local servers allow loopback by themselves."),
  connectTimeoutMs: milliseconds(10_000, "Longest wait for a connection, in milliseconds."),
  headTimeoutMs: milliseconds(
    600_000,
    "Longest wait for the head of an answer, in milliseconds; the alias's timeoutMs is usually shorter.",
  ),
  dataTimeoutMs: milliseconds(300_000, "Longest silence within an answer, in milliseconds."),
  ...placeShape,
  project: name.optional().describe("The cloud project whose models they are, for kinds that run in one."),
  location: placeName.optional().describe("The cloud's name of the place that answers, such as `europe-west4`; default `global`."),
  serviceAccount: z
    .string()
    .min(2)
    .max(65_536)
    .transform((value) => new Secret(value))
    .optional()
    .describe("A service account's key, as the JSON text that was issued."),
  serviceAccountFile: z.string().min(1).max(4096).optional().describe("Path of a file that holds a service account's key."),
  applicationDefault: z
    .boolean()
    .optional()
    .describe("May what this machine has be used: `GOOGLE_APPLICATION_CREDENTIALS`, a sign-in by `gcloud`, or its metadata server?"),
  proxy: secret
    .optional()
    .describe(
      "Reach it through a proxy: `http://host:port` or `https://host:port`, with `user:password@` where it asks for them; or `environment`: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. See docs/network.md.",
    ),
  tls: tlsOptions.optional().describe("Whom to trust and what to show when connecting. See docs/network.md."),
  accessKeyId: secret
    .optional()
    .describe("Id of an access key with which requests are signed, for kinds whose cloud has such; see docs/providers.md."),
  secretAccessKey: secret.optional().describe("The secret half of that access key; it signs and is never sent."),
  sessionToken: secret.optional().describe("The session token of temporary access keys."),
  maxConnections: z.int().positive().max(100_000).default(20_000).describe("Connections open at once."),
  maxHeaderBytes: z.int().min(1024).max(1_048_576).default(65_536).describe("Largest head of an answer, in bytes."),
  capabilities: capabilityOptions.optional(),
  tasks: taskOptions.optional(),
  batches: z
    .union([z.literal(false), z.enum(SERVICE_NAMES)])
    .optional()
    .describe("Whose batch service it has, for kinds that are not known to have one; `false`: its own is not used. See docs/batches.md."),
  models: z
    .record(name, modelOptions.prefault({}))
    .optional()
    .describe("Its models by name, listed for callers, with prices and corrections where needed."),
});

export const providerOptions = providerFields.refine((options) => options.apiKey === undefined || options.apiKeys === undefined, {
  error: "A provider has either `apiKey` or `apiKeys`.",
  path: ["apiKeys"],
});

export type ProviderOptions = z.infer<typeof providerOptions>;

/** What the configuration of all providers adds to the model book. */
export function overlayOf(providers: Iterable<readonly [string, ProviderOptions]>): ModelOverlay {
  const kinds: Record<string, string> = {};
  const models: Record<string, ModelOverride> = {};
  for (const [provider, options] of providers) {
    if (options.kind !== undefined) kinds[provider] = options.kind;
    // What runs on one's own machine is charged for by nobody, unless the configuration says otherwise.
    const free = (options.kind ?? provider) === IN_PROCESS;
    for (const [model, override] of Object.entries(options.models ?? {}))
      models[`${provider}/${model}`] = free && !override.price ? { ...override, price: { free: true } } : override;
  }
  return { kinds, models };
}
