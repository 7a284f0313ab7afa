import { ProblemError, type BatchDoor, type JsonObject } from "../canon/index.ts";
import type { BatchDialect, Batches } from "../batches/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { openJson } from "../kit/index.ts";
import type { FrontRequest } from "../wire/types.ts";
import { mountVisits, pageOf, readBody, sendStream, type Visit } from "./front-door.ts";
import { sendJson } from "./respond.ts";
import type { Router } from "./router.ts";

export interface BatchDoorDeps {
  readonly gateway: GatewayDeps;
  readonly batches: Batches;
}

/** Where a gateway is unless its client says otherwise. */
const DEFAULT_HOST = "127.0.0.1";

/** Mounts the doors by which the languages have batches. */
export function mountBatches(router: Router, deps: BatchDoorDeps): void {
  for (const dialect of deps.gateway.dialects.values()) {
    const { batches } = dialect;
    if (!batches) continue;
    const language: BatchDialect = { ...dialect, batches };
    for (const door of batches.doors) mountVisits(router, deps.gateway, dialect, door, (visit) => serve(deps, language, door, visit));
  }
}

async function serve({ gateway, batches }: BatchDoorDeps, dialect: BatchDialect, door: BatchDoor, visit: Visit): Promise<void> {
  const { request, out, params, caller } = visit;
  const { id = "" } = params;
  const language = dialect.batches;
  const address = addressOf(request);
  const send = (body: unknown): void => sendJson(out, 200, { ...(body as JsonObject) });
  switch (door.does) {
    case "create": {
      const body = await jsonBody(gateway, request);
      return send(language.encode(...(await batches.create(dialect, caller, body, request.headers)), address));
    }
    case "list": {
      const { isReversed, ...query } = pageOf(params);
      const { entries, more } = await batches.list(dialect, caller, query);
      return send(language.encodePage({ entries: isReversed ? entries.toReversed() : entries, more }, address));
    }
    case "read":
      return send(language.encode(...(await batches.read(dialect, caller, id)), address));
    case "cancel":
      return send(language.encode(...(await batches.cancel(dialect, caller, id)), address));
    case "delete":
      await batches.delete(dialect, caller, id);
      return send(language.encodeDeleted(id));
    case "results": {
      const results = await batches.results(dialect, caller, id);
      return sendStream(out, { "content-type": "application/x-jsonl" }, results);
    }
  }
}

async function jsonBody(gateway: GatewayDeps, request: FrontRequest): Promise<JsonObject> {
  const { bodyBytes, requestBodyMs, jsonDepth } = gateway.snapshot().limits;
  const opened = openJson(await readBody(request, bodyBytes, requestBodyMs), { depth: jsonDepth });
  if (opened.ok) return opened.document.value;
  throw new ProblemError({ kind: "invalid_request", message: opened.message });
}

/** As the client knows it. It is told to nobody else. */
function addressOf({ headers }: FrontRequest): string {
  const scheme = headers["x-forwarded-proto"] === "https" ? "https" : "http";
  return `${scheme}://${headers["host"] ?? DEFAULT_HOST}`;
}
