import { ProblemError, problemFrom, problemStatus, type Headers as FrontHeaders, type Problem } from "../canon/index.ts";
import type { IdentityOptions } from "../gateway/identity-options.ts";
import { isLocal } from "../gateway/admission.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { openJson } from "../kit/index.ts";
import { enterSurface, type Tools } from "../tools/index.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { sendJson } from "./respond.ts";
import type { Router } from "./router.ts";
import { placeOf } from "./sign-in/origin.ts";

const PATH = "/mcp";
/** Source: RFC 9728, section 3.1: the path of the resource follows the well-known one. */
const METADATA = "/.well-known/oauth-protected-resource";
const BODY_MS = 30_000;
const JSON_DEPTH = 128;
/** Bytes that wait for a client to take them; a stream that comes on top of that is cut off. */
const MOST_WAITING = 4 * 1024 * 1024;
const METHODS = ["POST", "GET", "DELETE"] as const;
/** Codes of JSON-RPC 2.0, section 5.1; of the server's own range for everything else. */
const PARSE_ERROR = -32_700;
const REFUSED = -32_000;

export interface McpDeps {
  readonly gateway: GatewayDeps;
  readonly tools: Tools;
  readonly identity: () => IdentityOptions;
}

/** The Model Context Protocol over streamable HTTP, and what its clients must know to get a token. */
export function mountMcp(router: Router, deps: McpDeps): void {
  for (const method of METHODS) router.add(method, PATH, (request, out) => serve(deps, request, out));
  router.add("GET", CALLBACK, (request, out) => comeBack(deps, request, out));
  for (const path of [METADATA, METADATA + PATH])
    router.add("GET", path, (request, out) => {
      const metadata = metadataOf(deps, request.headers);
      if (metadata) sendJson(out, 200, metadata, { "cache-control": "public, max-age=300" });
      else sendJson(out, 404, { error: { type: "not_found", message: "No issuer of tokens is configured here (`identity.jwt`)." } });
    });
}

const CALLBACK = `${PATH}/callback`;
const MOST_STATE = 200;

/** A person comes back from the authorization server of an upstream server. Who they are is shown by the secret that they bring. */
function comeBack({ gateway, tools }: McpDeps, { query }: FrontRequest, out: FrontOut): void {
  const brought = new URLSearchParams(query);
  const state = brought.get("state") ?? "";
  const say = (status: number, words: string): void =>
    out.whole(
      status,
      { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", "referrer-policy": "no-referrer" },
      words,
    );
  const work = async (): Promise<void> => {
    const { hub } = await tools.door();
    const server = state.length > MOST_STATE ? undefined : await hub.signedIn(state, brought);
    if (server === undefined)
      return say(404, "Nobody was sent to sign in from here, or it was too long ago. Begin anew: gimbal mcp login\n");
    await gateway.note?.({ action: "mcp.signin", subject: `mcp:${server}`, actor: "anonymous", outcome: "done", details: {} });
    say(200, `The gateway is signed in at "${server}". You can close this page.\n`);
  };
  work().catch((error: unknown) => {
    const problem = problemFrom(error);
    if (problem.kind === "internal") gateway.report(error, "mcp");
    say(problemStatus(problem), `${problem.message}\n`);
  });
}

function serve(deps: McpDeps, request: FrontRequest, out: FrontOut): void {
  const fail = (error: unknown): void => {
    const problem = problemFrom(error);
    if (problem.kind === "internal") deps.gateway.report(error, "mcp");
    if (out.closed) return;
    sendRefusal(deps, request, out, problem, error instanceof NotJson ? PARSE_ERROR : REFUSED);
  };
  const { bodyBytes } = deps.tools.options;
  const work = async (): Promise<void> => {
    // Nothing of the body is read for whoever is not let in.
    const asking = await admitted(deps, request);
    const bytes = request.method === "POST" ? await bodyOf(request, bodyBytes) : undefined;
    await answer(deps, request, out, bytes, asking);
  };
  work().catch(fail);
}

function bodyOf(request: FrontRequest, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    request.readBody({ maxBytes, timeoutMs: BODY_MS }, (outcome) => {
      if (outcome.ok) resolve(outcome.bytes);
      else reject(new ProblemError(outcome.problem));
    });
  });
}

type Asking = Parameters<Awaited<ReturnType<Tools["door"]>>["answer"]>[2];

/** Who asks, and may they? @throws ProblemError */
async function admitted({ gateway, tools }: McpDeps, { headers, peer }: FrontRequest): Promise<Asking> {
  const snapshot = gateway.snapshot();
  assertOrigin(headers, peer, tools.options.origins);
  const caller = await gateway.admission.identify(snapshot, { credentials: bearerOf }, headers, peer);
  await enterSurface(gateway, caller);
  return { caller, headers };
}

class NotJson extends ProblemError {}

async function answer({ tools }: McpDeps, request: FrontRequest, out: FrontOut, bytes: Buffer | undefined, asking: Asking): Promise<void> {
  const body = bytes && parse(bytes);
  const left = new AbortController();
  out.onLeave(() => left.abort(new ProblemError({ kind: "cancelled", message: "The client left." })));
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) if (value !== undefined && !UNSENT.test(name)) headers.set(name, value);
  const url = `http://mcp.internal${request.path}${request.query === "" ? "" : `?${request.query}`}`;
  const door = await tools.door();
  const response = await door.answer(new Request(url, { method: request.method, headers, signal: left.signal }), body, asking);
  await relay(response, out);
}

/** What is only for the gateway goes no further. */
const UNSENT = /^(?:authorization|cookie|x-api-key|content-length|transfer-encoding|connection)$/;

function parse(bytes: Buffer): unknown {
  const outcome = openJson(bytes, { depth: JSON_DEPTH });
  if (outcome.ok) return outcome.document.value;
  throw new NotJson({ kind: "invalid_request", message: `Parse error: ${outcome.message}` });
}

/**
 * Passes the answer on as it comes. What its client does not take is kept for it, up to a bound: nobody else waits for a slow one, and who is
 * cut off can come back for the rest (`Last-Event-ID`).
 */
async function relay(response: Response, out: FrontOut): Promise<void> {
  const headers = Object.fromEntries(response.headers);
  if (!response.body || !headers["content-type"]?.startsWith("text/event-stream"))
    return out.whole(response.status, headers, Buffer.from(await response.arrayBuffer()));
  const reader = response.body.getReader();
  out.onLeave(() => void reader.cancel().catch(() => {}));
  out.head(response.status, headers);
  let waiting = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || out.closed) break;
      if (waiting > MOST_WAITING) {
        out.cut();
        await reader.cancel().catch(() => {});
        return;
      }
      if (out.write(Buffer.from(value.buffer, value.byteOffset, value.byteLength))) continue;
      if (waiting === 0) out.onDrain(() => (waiting = 0));
      waiting += value.byteLength;
    }
  } catch (error) {
    out.cut();
    throw error;
  }
  out.end();
}

/** A web page of another origin is never let in: it could use whoever's browser reaches this gateway. @throws ProblemError forbidden */
function assertOrigin(headers: FrontHeaders, peer: string, origins: readonly string[]): void {
  const { origin } = headers;
  if (origin === undefined || isLocal(headers, peer)) return;
  if (origins.some((allowed) => new URL(allowed).origin === origin)) return;
  throw new ProblemError({
    kind: "forbidden",
    message: "Pages of this origin may not use /mcp; `mcp.origins` names those that may.",
    code: "foreign_origin",
  });
}

function bearerOf(headers: FrontHeaders): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers["authorization"] ?? "")?.[1] ?? headers["x-api-key"];
}

/** Source: RFC 9728, section 2. Undefined: no issuer is configured, or nobody knows under which address this gateway is reached. */
function metadataOf({ tools, identity }: McpDeps, headers: FrontHeaders): object | undefined {
  const place = placeOf(tools.options.publicUrl, headers);
  const { jwt } = identity();
  if (!place || jwt.length === 0) return undefined;
  return {
    resource: place.base + PATH,
    authorization_servers: [...new Set(jwt.map(({ issuer }) => issuer))],
    bearer_methods_supported: ["header"],
    resource_name: "Gimbal",
  };
}

function sendRefusal(deps: McpDeps, { headers }: FrontRequest, out: FrontOut, problem: Problem, code: number): void {
  const status = problemStatus(problem);
  const challenge = status === 401 || status === 403 ? challengeOf(deps, headers, status) : undefined;
  const data = { kind: problem.kind, ...(problem.code !== undefined && { code: problem.code }) };
  sendJson(
    out,
    status,
    { jsonrpc: "2.0", id: null, error: { code, message: problem.message, data } },
    { ...problemHeaders(problem), ...(challenge !== undefined && { "www-authenticate": challenge }) },
  );
}

/** Source: RFC 6750, section 3, and RFC 9728, section 5.1. */
function challengeOf(deps: McpDeps, headers: FrontHeaders, status: number): string {
  const place = placeOf(deps.tools.options.publicUrl, headers);
  const parts = [
    ...(status === 403 ? ['error="insufficient_scope"'] : bearerOf(headers) === undefined ? [] : ['error="invalid_token"']),
    ...(place && metadataOf(deps, headers) ? [`resource_metadata="${place.base}${METADATA}${PATH}"`] : []),
  ];
  return parts.length === 0 ? "Bearer" : `Bearer ${parts.join(", ")}`;
}
