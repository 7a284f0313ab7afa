import { z } from "zod";
import { stepsQuery } from "../lineage.ts";
import { flag, list, media, moment, oneOf, orNull, ref, shape, some, text, whole, type Described } from "./shapes.ts";

const after = z.strictObject({
  after: z.coerce.number().int().nonnegative().default(0).describe("Number of the last event seen; or the header `last-event-id`."),
});
const page = media("text/html");
const message = { body: z.looseObject({}), answer: { ...some, description: "A message of JSON-RPC 2.0, or a stream of them." } };
const passed: Described = {
  summary:
    "An endpoint of a provider that no language here describes: admitted, metered and audited like any call, and passed on as it is.",
  answer: { description: "Whatever the provider answers." },
};

/** What the gateway serves that is neither a door of a language nor a route of the admin API: by method and path, as the router has them. */
export const OWN_ROUTES: Readonly<Record<string, Described>> = {
  "GET /": { summary: "A page for people.", answer: page },
  "GET /healthz": { summary: "Does the process answer?", answer: shape({ status: oneOf("ok") }) },
  "GET /readyz": {
    summary: "May load be sent here? 503 while starting, draining, or when calls cannot be recorded.",
    answer: ref("Ready"),
  },
  "GET /metrics": { summary: "Figures in the exposition format of Prometheus.", answer: media("text/plain") },
  "GET /openapi.json": { summary: "This description.", answer: shape({ openapi: text, paths: some }) },
  "HEAD /api/hello": { summary: "Is a gateway here?", answer: media() },
  "GET /api/hello": { summary: "Is a gateway here?", answer: shape({ status: oneOf("ok") }) },
  "GET /v1/models": { summary: "Models that the caller may name, in the shape of the language that asks.", answer: ref("Models") },
  "GET /v1/models/{id...}": { summary: "One of them.", answer: some },
  "GET /v1/calls/{id}": { summary: "A call of the caller's own: its state, attempts, usage and cost.", answer: ref("Call") },
  "GET /v1/calls/{id}/events": {
    summary: "The frames that the call sent, numbered, byte by byte as they were; waits for those to come.",
    query: after,
    answer: media("text/event-stream", "application/x-ndjson"),
  },
  "GET /v1/calls/{id}/explain": { summary: "Why the call went where it went.", answer: some },
  "GET /v1/calls/{id}/lineage": { summary: "What went into the call, and what its answer went into.", query: stepsQuery, answer: some },
  "GET /v1/calls/{id}/content": { summary: "What was stored of the call; for keys of the admin API.", answer: some },
  "POST /v1/calls/{id}/cancel": { summary: "Stops a running call.", answer: ref("Call") },
  "POST /mcp": { summary: "The Model Context Protocol over streamable HTTP.", ...message },
  "GET /mcp": { summary: "Its messages from the server, for clients of the older revision.", answer: media("text/event-stream") },
  "DELETE /mcp": { summary: "Ends a session of the older revision.", answer: media() },
  "GET /mcp/callback": { summary: "Where the issuer of a server of tools leads a browser back to.", answer: page },
  "GET /.well-known/oauth-protected-resource": { summary: "Who issues tokens for `/mcp` (RFC 9728).", answer: some },
  "GET /.well-known/oauth-protected-resource/mcp": { summary: "The same.", answer: some },
  "GET /admin/sign-in": { summary: "Leads a browser to the issuer.", answer: page, status: 303 },
  "GET /admin/callback": { summary: "Where the issuer leads it back to.", answer: page, status: 303 },
  "POST /admin/sign-out": { summary: "Ends a browser's session.", answer: page, status: 303 },
  "GET /passthrough/{provider}/{path...}": passed,
  "POST /passthrough/{provider}/{path...}": passed,
  "PUT /passthrough/{provider}/{path...}": passed,
  "PATCH /passthrough/{provider}/{path...}": passed,
  "DELETE /passthrough/{provider}/{path...}": passed,
};

const cost = orNull(shape({ nanodollars: whole, usd: text }));
const usage = shape(
  { inputUncached: whole, cacheRead: whole, cacheWrite5m: whole, cacheWrite1h: whole, output: whole, reasoning: whole },
  { estimated: flag, media: { type: "object", additionalProperties: { type: "number" } } },
);
const state = oneOf("open", "done", "failed", "cancelled", "interrupted");
const attempt = shape(
  { target: text, startedMs: { type: "number" }, endedMs: { type: "number" } },
  { status: whole, problem: text, usage },
);

/** Shapes that several answers have. */
export const SCHEMAS = {
  Call: shape({ id: text, state, startedAt: moment }, { frames: whole, model: text, target: text, usage, attempts: list(attempt), cost }),
  Row: shape(
    { callId: text, state, startedAt: moment, callerId: text, dialect: text, operation: text, model: text, usage, attempts: list(attempt) },
    { target: text, costNanodollars: whole, priceVersion: text, problem: text, problemMessage: text, metadata: some },
  ),
  Budget: shape({ name: text, match: some, counters: list(some), source: oneOf("configuration", "key") }, { usd: text, tokens: whole }),
  ConfigVersion: shape({ version: whole, createdAt: moment }, { author: text, text, diff: text, changed: some }),
  Kill: shape({ id: text, scope: text, value: text, author: text, createdAt: moment }, { reason: text }),
  Group: shape({ name: text, accounts: list(text), keysInForce: whole, budgets: list(text), limits: list(text) }),
  Models: { ...some, description: "A list; each entry has what is known of the model in its member `gimbal`." },
  Ready: shape({ status: oneOf("ready", "not ready") }, { reason: text }),
} as const;
