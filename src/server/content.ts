import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError, type Caller, type ContentStore, type LedgerRow, type StoredContent } from "../canon/index.ts";
import { missingCall } from "../gateway/resume.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { Audit } from "../ledger/audit/index.ts";
import { endUserHash } from "../ledger/content/entry.ts";
import { readQuery } from "./admin-body.ts";
import { actorOf } from "./roles.ts";

const name = z.string().min(1).max(512);
export const eraseQuery = z
  .strictObject({ call: name.optional(), key: name.optional(), endUser: name.optional() })
  .refine((query) => Object.values(query).filter((one) => one !== undefined).length === 1, { error: "name one of call, key and endUser" });

export interface ContentDeps {
  readonly gateway: Pick<GatewayDeps, "aside" | "clock" | "ledger" | "randomness">;
  readonly content: ContentStore;
  readonly audit: Pick<Audit, "as">;
}

/** Who may read what others said: a key made for it. */
const READERS: ReadonlySet<string | undefined> = new Set(["developer", "admin"]);

/** `GET /v1/calls/ID/content`, by a key of the admin API with the role developer or admin. @throws ProblemError forbidden, not_found */
export async function callContent(deps: ContentDeps, id: string, caller: Caller): Promise<object> {
  const { role, surfaces } = caller.scopes;
  if (!READERS.has(role) || !surfaces?.includes("admin"))
    throw new ProblemError({
      kind: "forbidden",
      message: `The key "${caller.name}" may not read what calls said: that takes a key of the admin API with the role developer or admin.`,
    });
  return readContent(deps, id, `key:${caller.id}`);
}

/**
 * `GET /content`: what is stored, by the days on which it expires; `GET /content/ID`: what was stored of a call, which the audit notes;
 * `DELETE /content?call=|key=|endUser=`: erases it.
 */
export function mountContent(app: Pick<Hono, "get" | "delete">, deps: ContentDeps): void {
  const { content, gateway } = deps;
  app.get("/content", async (context) => context.json({ partitions: await content.partitions() }));
  app.get("/content/:id", async (context) => context.json(await readContent(deps, context.req.param("id"), actorOf(context))));
  app.delete("/content", async (context) => {
    const { call, key, endUser } = readQuery(context, eraseQuery);
    // What is under way would come after it.
    await gateway.aside?.flush();
    const erased =
      call !== undefined
        ? await content.erase({ kind: "call", value: call })
        : key !== undefined
          ? await content.erase({ kind: "caller", value: key })
          : await content.erase({ kind: "endUser", value: endUserHash(endUser ?? "") });
    return context.json({ erased });
  });
}

/** @param actor who reads it, for the audit */
async function readContent({ gateway, content, audit }: ContentDeps, id: string, actor: string): Promise<object> {
  const row = await gateway.ledger.read(id);
  if (!row) throw missingCall(id);
  await gateway.aside?.flush();
  const who = { actor, requestId: gateway.randomness.id("req_") };
  const { result: stored } = await audit.as(who, () => content.read(id, row.startedAt, gateway.clock.now()));
  if (!stored)
    throw new ProblemError({
      kind: "not_found",
      message: `Nothing that the call ${id} said is stored: no policy wanted it, or it has expired or was erased.`,
    });
  return described(stored, row);
}

function described({ callId, at, expiresAt, content }: StoredContent, row: LedgerRow): object {
  return {
    id: callId,
    at: new Date(at).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
    model: row.model,
    target: row.target ?? null,
    state: row.state,
    caller: { id: row.callerId, name: row.callerName },
    ...(content as object),
  };
}
