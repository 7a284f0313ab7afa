import { problemStatus, type Dialect, type JsonObject, type Problem } from "../canon/index.ts";
import { problemHeaders } from "../gateway/refuse.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontOut, FrontRequest } from "../wire/types.ts";
import { languageOf } from "./models.ts";
import { sendJson, sendProblem } from "./respond.ts";

/** Paths that several languages share; another root is that of one language, or the gateway's own. */
const CLIENT_PATHS = "/v1/";
const OWN_PATHS = "/v1/calls/";

/**
 * A request that no door takes: what is not built, a wrong path or a wrong method. Told in the language of the client, because an SDK reads
 * no other: that of the door whose path the request goes on from, else the one its headers speak.
 */
export function sendOutside(
  deps: GatewayDeps,
  request: FrontRequest,
  out: FrontOut,
  problem: Problem,
  headers: Readonly<Record<string, string>> = {},
): void {
  const dialect = speakerOf(deps, request);
  if (!dialect) return sendProblem(out, problem, headers);
  const { body } = dialect.encodeProblem(problem, deps.randomness.id("req_"));
  sendJson(out, problemStatus(problem), { ...(body as JsonObject) }, { ...problemHeaders(problem), ...headers });
}

function speakerOf(deps: GatewayDeps, request: FrontRequest): Dialect | undefined {
  const { path } = request;
  if (path.startsWith(OWN_PATHS)) return undefined;
  if (!path.startsWith(CLIENT_PATHS)) {
    const root = path.slice(0, path.indexOf("/", 1) + 1);
    return root === "" ? undefined : [...deps.dialects.values()].find(({ doors }) => doors.some((door) => door.path.startsWith(root)));
  }
  const begins = (door: string): boolean => path === door || path.startsWith(`${door}/`);
  return [...deps.dialects.values()].find((dialect) => dialect.doors.some((door) => begins(door.path))) ?? languageOf(deps, request);
}
