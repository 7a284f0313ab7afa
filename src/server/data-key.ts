import type { Hono } from "hono";
import type { DataKeyStore } from "../canon/index.ts";

/** `POST /data-key/rotate`: seals everything at rest under the newest key, and answers when that is done. */
export function mountDataKey(app: Pick<Hono, "post">, dataKeys: DataKeyStore): void {
  app.post("/data-key/rotate", async (context) => context.json({ ...(await dataKeys.rotate()) }));
}
