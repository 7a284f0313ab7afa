import { z } from "zod";
import { Secret } from "../canon/index.ts";

const MOST_SERVERS = 100;
const MOST_ITEMS = 500;
const LETTERS = 4096;
const MOST_MS = 3_600_000;
const MOST_USD = 1000;
/** Longest answer that may be let in at all, in bytes. */
const MOST_RESULT_BYTES = 64 * 1024 * 1024;

/** What a server may ask of a caller's client while it works on a call. */
export const RELAYED = ["sampling", "elicitation", "roots", "logging"] as const;
export type Relayed = (typeof RELAYED)[number];

const text = z.string().min(1).max(LETTERS);
const secret = z
  .string()
  .min(1)
  .max(16_384)
  .regex(/^[\x20-\x7e]*$/, "must be printable ASCII on one line")
  .transform((value) => new Secret(value));
const patterns = z.array(z.string().min(1).max(200)).max(MOST_ITEMS);
/** Set by the transport; a configured one would break it. */
const RESERVED_HEADERS =
  /^(?:host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|accept|mcp-.*|last-event-id|proxy-.*)$/;

const pem = z
  .string()
  .max(32_768)
  .regex(/^-----BEGIN PRIVATE KEY-----\s[\s\S]+-----END PRIVATE KEY-----\s*$/, "must be a private key as PKCS #8 PEM (`BEGIN PRIVATE KEY`)")
  .transform((value) => new Secret(value));

const oauth = z
  .strictObject({
    grant: z
      .enum(["client_credentials", "authorization_code"])
      .default("client_credentials")
      .describe(
        "`client_credentials`: the gateway is known there itself. `authorization_code`: a person signs in once (`gimbal mcp login`).",
      ),
    clientId: text.optional().describe("Under which the gateway is known. Default, for `authorization_code`: it registers itself."),
    clientSecret: secret.optional().describe("What it proves itself with: a secret ..."),
    privateKey: pem.optional().describe("... or a key that signs its assertions (`private_key_jwt`), as PKCS #8 PEM."),
    algorithm: z.enum(["RS256", "PS256", "ES256"]).default("RS256").describe("By which `privateKey` signs."),
    scope: text.optional().describe("Scopes to ask for, with spaces between. Default: those that the server names."),
    issuer: z
      .url({ protocol: /^https?$/ })
      .max(LETTERS)
      .optional()
      .describe("The only authorization server that the credentials may go to. Default: the one that the server names."),
    clientMetadataUrl: z
      .url({ protocol: /^https$/ })
      .max(LETTERS)
      .optional()
      .describe("Where the gateway's own client metadata is published, for authorization servers that read it instead of registering."),
  })
  .refine(({ clientSecret, privateKey }) => clientSecret === undefined || privateKey === undefined, {
    error: "A client has either a `clientSecret` or a `privateKey`.",
  })
  .refine(({ clientId, clientSecret, privateKey }) => clientId !== undefined || (clientSecret ?? privateKey) === undefined, {
    error: "Credentials need their `clientId`.",
  })
  .refine(({ grant, clientId, clientSecret, privateKey }) => grant !== "client_credentials" || (clientId && (clientSecret ?? privateKey)), {
    error: "`client_credentials` needs a `clientId` and a `clientSecret` or `privateKey`.",
  })
  .describe("How the gateway gets its tokens for a server that asks for them (OAuth 2.1). See docs/mcp.md.");

const tool = z
  .strictObject({
    priceUsd: z.number().min(0).max(MOST_USD).optional().describe("What a call costs, in dollars. Default: nothing."),
    requests: z.int().min(1).max(1_000_000_000).optional().describe("Calls in one window, of all callers together."),
    concurrency: z.int().min(1).max(100_000).optional().describe("Calls running at once, of all callers together."),
    per: z.enum(["minute", "hour", "day"]).default("minute").describe("The window of `requests`."),
    timeoutMs: z.int().min(1).max(MOST_MS).optional().describe("Of a call, in milliseconds. Default: the server's."),
  })
  .describe("What holds for one tool.");

const server = z
  .strictObject({
    command: text.optional().describe("The program of a server that speaks over its standard input and output. Nothing else starts one."),
    args: z.array(z.string().max(LETTERS)).max(MOST_ITEMS).default([]).describe("Its arguments."),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of a variable"), secret)
      .default({})
      .describe("Its whole environment: nothing of the gateway's own goes to it, but `PATH` where this names none."),
    cwd: text.optional().describe("The folder it runs in. Default: the system's temporary folder."),
    url: z
      .url({ protocol: /^https?$/, error: "Must be an http(s) URL." })
      .max(LETTERS)
      .optional()
      .describe("The endpoint of a server that speaks streamable HTTP."),
    headers: z
      .record(
        z
          .string()
          .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, "must be a header name")
          .refine((name) => !RESERVED_HEADERS.test(name.toLowerCase()), "is set by the connection itself"),
        secret,
      )
      .default({})
      .describe("Sent with every request to `url`, such as `authorization`. A caller's own never are."),
    oauth: oauth.optional(),
    allowPrivateNetwork: z.boolean().default(false).describe("May `url` lead to a loopback or private address?"),
    revision: z
      .enum(["auto", "2026-07-28", "2025-11-25"])
      .default("auto")
      .describe("Which revision of the specification it speaks. `auto` asks it first, which starts a stdio server once more."),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{0,64}$/, "must be of letters, digits and `_.-`")
      .optional()
      .describe("Stands before the names of its tools and prompts. Default: its name and `__`."),
    allow: patterns
      .optional()
      .describe("Its tools, prompts and resources that are offered, by their own names; a trailing `*` matches any rest."),
    deny: patterns.default([]).describe("Those that are not, whatever `allow` says."),
    tier: z.int().min(0).max(4).default(0).describe("How sensitive what it gives is, 0 to 4: keys with a lower `tier` do not see it."),
    pin: z
      .enum(["approve", "first-use"])
      .default("approve")
      .describe(
        "Who says that a tool may be used as it is described: a person, or whoever first connects. A changed tool needs a person either way.",
      ),
    relay: z
      .array(z.enum(RELAYED))
      .max(RELAYED.length)
      .default([])
      .describe("What it may ask of, or tell, the client of the call that it works on. It then works on one call at a time."),
    concurrency: z.int().min(1).max(10_000).default(32).describe("Calls it works on at once; more wait."),
    timeoutMs: z.int().min(1).max(MOST_MS).default(60_000).describe("Of a call, in milliseconds."),
    connectTimeoutMs: z.int().min(1).max(MOST_MS).default(15_000).describe("Until it has said what it offers, in milliseconds."),
    maxResultBytes: z
      .int()
      .min(1024)
      .max(MOST_RESULT_BYTES)
      .default(4_194_304)
      .describe("Bytes of one answer; a longer one is cut off and refused."),
    tools: z
      .record(z.string().min(1).max(200), tool)
      .default({})
      .describe("What holds for single tools, by the server's own name for them; `*` for the others."),
  })
  .refine((one) => (one.command === undefined) !== (one.url === undefined), { error: "A server has either a `command` or a `url`." })
  .refine((one) => one.oauth === undefined || one.url !== undefined, { error: "`oauth` is for a server with a `url`." })
  .refine((one) => one.oauth === undefined || !Object.keys(one.headers).some((name) => name.toLowerCase() === "authorization"), {
    error: "A server has either `oauth` or a header `authorization`.",
  })
  .describe("An upstream MCP server.");

/** `mcp:` of `gimbal.yaml`. */
export const mcpOptions = z
  .strictObject({
    servers: z
      .record(z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38}[A-Za-z0-9])?$/, "must be of letters, digits, `-` and `_`"), server)
      .refine((servers) => Object.keys(servers).length <= MOST_SERVERS, { error: `There are at most ${MOST_SERVERS} servers.` })
      .default({})
      .describe("Upstream servers, by the name under which their tools are offered."),
    origins: z
      .array(z.url({ protocol: /^https?$/ }))
      .max(MOST_ITEMS)
      .default([])
      .describe("Origins of web pages that may use `/mcp`. Those of this machine may where it is reached by a name of its own."),
    publicUrl: z
      .url({ protocol: /^https?$/ })
      .max(LETTERS)
      .optional()
      .describe(
        "Under which clients reach this gateway, for the metadata of the protected resource. Default: the request's own host on this machine.",
      ),
    sessions: z
      .int()
      .min(1)
      .max(100_000)
      .default(1000)
      .describe("Sessions of clients of revision 2025-11-25 open at once; the one unused for longest makes room."),
    sessionMinutes: z.int().min(1).max(10_080).default(30).describe("Minutes without a request after which a session is over."),
    bodyBytes: z.int().min(1024).max(MOST_RESULT_BYTES).default(4_194_304).describe("Bytes of one request."),
    running: z.int().min(1).max(1_000_000).default(1000).describe("Requests to upstream servers at once; more are refused."),
  })
  .refine(
    ({ servers, publicUrl }) =>
      publicUrl !== undefined || !Object.values(servers).some(({ oauth: how }) => how?.grant === "authorization_code"),
    { error: "`grant: authorization_code` needs `mcp.publicUrl`: the person who signs in is sent back there." },
  )
  .prefault({})
  .describe("Upstream MCP servers, behind `/mcp`. See docs/mcp.md.");

export type McpOptions = z.output<typeof mcpOptions>;
export type ServerOptions = McpOptions["servers"][string];
export type OAuthOptions = NonNullable<ServerOptions["oauth"]>;
export type ToolOptions = ServerOptions["tools"][string];

const NO_OPTIONS: ToolOptions = { per: "minute" };

export function toolOptionsOf({ tools }: ServerOptions, name: string): ToolOptions {
  return (Object.hasOwn(tools, name) ? tools[name] : tools["*"]) ?? NO_OPTIONS;
}
