import type { Hono } from "hono";
import { z } from "zod";
import { ProblemError } from "../canon/index.ts";
import type { Tools } from "../tools/index.ts";
import { readBody } from "./admin-body.ts";
import { actorOf } from "./roles.ts";

const HASH = /^[0-9a-f]{64}$/;
export const pinBody = z.strictObject({
  server: z.string().min(1).max(200),
  tool: z.string().min(1).max(400),
  /** What whoever approves has read. */
  hash: z.string().regex(HASH, "must be 64 hexadecimal digits").optional(),
});
export const unpinQuery = z.strictObject({ server: z.string().min(1).max(200), tool: z.string().min(1).max(400) });
const TEST_MS = 60_000;

/** `/mcp`: the upstream servers, what they offer, and which of their tools may be used as they are. */
export function mountMcpAdmin(app: Pick<Hono, "get" | "post" | "delete">, tools: Tools): void {
  app.get("/mcp", async (context) => {
    const { hub } = await tools.door();
    await hub.whenTried();
    return context.json({ servers: hub.list() });
  });
  app.get("/mcp/:server/tools/:tool", async (context) => {
    const { hub } = await tools.door();
    const upstream = hub.find(context.req.param("server"));
    const definition = upstream.catalogue.tools.find(({ name }) => name === context.req.param("tool"));
    if (!definition) throw new ProblemError({ kind: "not_found", message: "The server has no such tool now." });
    const report = hub.offers.reports.find(({ server, tool }) => server === upstream.name && tool === definition.name);
    const pin = hub.pins.find(upstream.name, definition.name);
    return context.json({ ...report, ...(pin && { pin }), definition });
  });
  app.post("/mcp/pins", async (context) => {
    const { server, tool, hash } = await readBody(context, pinBody);
    const { hub } = await tools.door();
    await hub.whenTried();
    return context.json(await hub.approve(server, tool, actorOf(context), hash), 201);
  });
  app.delete("/mcp/pins", async (context) => {
    const parsed = unpinQuery.safeParse(context.req.query());
    if (!parsed.success) throw new ProblemError({ kind: "invalid_request", message: "Name `server` and `tool`." });
    const { server, tool } = parsed.data;
    const { hub } = await tools.door();
    if (!(await hub.pins.unpin(server, tool))) throw new ProblemError({ kind: "not_found", message: "The tool was not approved." });
    return context.json({ server, tool, approved: false });
  });
  app.post("/mcp/:server/login", async (context) => {
    const { hub } = await tools.door();
    const server = context.req.param("server");
    return context.json({ server, url: await hub.find(server).signInUrl() });
  });
  app.post("/mcp/:server/test", async (context) => {
    const { hub } = await tools.door();
    await hub.whenTried();
    const upstream = hub.find(context.req.param("server"));
    const began = performance.now();
    await upstream.call({ signal: AbortSignal.timeout(TEST_MS), timeoutMs: upstream.options.connectTimeoutMs }, (client, signal, timeout) =>
      upstream.modern ? client.discover({ signal, timeout }) : client.ping({ signal, timeout }),
    );
    const [report] = hub.list().filter(({ server }) => server === upstream.name);
    return context.json({ ...report, answeredMs: Math.round((performance.now() - began) * 10) / 10 });
  });
}
