import { invalid, problemFrom, ProblemError, type Caller, type Dialect, type JsonObject, type PageQuery } from "../canon/index.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { identifyAndCount } from "./calls.ts";
import { sendJson } from "./respond.ts";
import { queryParams, type Params, type Router } from "./router.ts";

/** A request at a door of a language that makes no call itself. */
export interface Visit {
  readonly request: FrontRequest;
  readonly out: FrontOut;
  readonly params: Params;
  readonly caller: Caller;
}

const MOST_LISTED = 1000;
const USUALLY_LISTED = 20;

/** Mounts a door whose visitors are callers; what goes wrong is told in its language. */
export function mountVisits(
  router: Router,
  deps: GatewayDeps,
  dialect: Dialect,
  door: { readonly method: string; readonly path: string },
  visit: (visit: Visit) => Promise<void>,
): void {
  router.add(door.method, door.path, (request, out, segments) => {
    const serve = async (): Promise<void> => {
      const caller = await identifyAndCount(deps, request, dialect);
      const { surfaces } = caller.scopes;
      if (surfaces && !surfaces.some((surface) => deps.dialects.has(surface)))
        throw new ProblemError({ kind: "forbidden", message: `The key "${caller.name}" may make no calls.` });
      await visit({ request, out, params: { ...queryParams(request.query), ...segments }, caller });
    };
    serve().catch((error: unknown) => {
      const problem = problemFrom(error);
      const requestId = deps.randomness.id("req_");
      if (problem.kind === "internal") deps.report(error, requestId);
      const { status, body } = dialect.encodeProblem(problem, requestId);
      sendJson(out, status, { ...(body as JsonObject) }, problemHeaders(problem));
    });
  });
}

export function readBody(request: FrontRequest, maxBytes: number, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    request.readBody({ maxBytes, timeoutMs }, (outcome) =>
      outcome.ok ? resolve(outcome.bytes) : reject(new ProblemError(outcome.problem)),
    );
  });
}

/** @throws ProblemError invalid_request */
export function limitOf({ limit }: Params): number {
  if (limit === undefined) return USUALLY_LISTED;
  const count = /^\d{1,5}$/.test(limit) ? Number(limit) : 0;
  if (count < 1 || count > MOST_LISTED) throw invalid(`limit must be 1 to ${MOST_LISTED}.`, "limit");
  return count;
}

/** Which page is asked for, in the words of any language: after an id, or before one, which is the same seen from the other end. */
export function pageOf(params: Params): PageQuery & { readonly isReversed: boolean } {
  const after = params["after"] ?? params["after_id"];
  const before = params["before_id"];
  const isReversed = before !== undefined;
  const oldestFirst = isReversed || params["order"] === "asc";
  const place = before ?? after;
  return { limit: limitOf(params), oldestFirst, isReversed, ...(place !== undefined && { after: place }) };
}

/** Sends a text or bytes as they come, no faster than the client takes them. A failure in the middle breaks the connection off. */
export async function sendStream(
  out: FrontOut,
  headers: Readonly<Record<string, string>>,
  pieces: AsyncIterable<Buffer | string>,
): Promise<void> {
  let hasLeft = false;
  let wake = (): void => {};
  out.onLeave(() => {
    hasLeft = true;
    wake();
  });
  out.head(200, headers);
  try {
    for await (const piece of pieces) {
      if (hasLeft) return;
      if (out.write(piece)) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        out.onDrain(resolve);
      });
    }
  } catch (error) {
    out.cut();
    throw error;
  }
  out.end();
}
