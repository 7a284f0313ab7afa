import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openHouse, type House } from "../../src/house.ts";

const TEXT = `version: 1
sim:
  models:
    penny: { text: "ok", price: { perCallUsd: 0.01 } }
budgets: # what the team agreed on
  - { name: all, usd: 1, per: month }
`;

let house: House | undefined;
let folder = "";
afterEach(async () => {
  await house?.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(): Promise<House> {
  folder = await mkdtemp(join(tmpdir(), "gimbal-budgets-"));
  const fileName = join(folder, "gimbal.yaml");
  await writeFile(fileName, TEXT);
  house = await openHouse({ config: { text: TEXT, fileName }, folder, host: "127.0.0.1", port: 0, env: {}, log: () => {} });
  return house;
}

async function admin(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${house?.url ?? ""}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${house?.adminToken.reveal() ?? ""}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function ask(key?: string): Promise<number> {
  const response = await fetch(`${house?.url ?? ""}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key !== undefined && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ model: "sim/penny", messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
  return response.status;
}

describe("/admin/api/budgets", () => {
  it("lists budgets with what is spent of them, and those of keys", async () => {
    const { gateway } = await open();
    const made = await admin("POST", "/keys", { name: "k", budgets: [{ usd: 0.02, per: "day", hard: true }] });
    expect(made.status).toBe(201);
    const key = String(made.body["key"]);
    expect([await ask(key), await ask(key), await ask(key)]).toEqual([200, 200, 402]);
    await gateway.live.whenIdle();
    const { body } = await admin("GET", "/budgets");
    expect(body["budgets"]).toMatchObject([
      {
        name: "all",
        source: "configuration",
        usd: "1.000000000",
        per: "month",
        hard: true,
        counters: [{ measure: "usd", spent: "0.020000000" }],
      },
      { source: "key", usd: "0.020000000", counters: [{ spent: "0.020000000", left: "0.000000000" }] },
    ]);
  });

  it("puts all of the configuration's budgets in force as a new version, and what was spent stays spent", async () => {
    await open();
    expect(await ask()).toBe(200);
    const changed = await admin("PUT", "/budgets", { budgets: [{ name: "all", usd: 0.02, per: "month" }] });
    expect(changed).toMatchObject({ status: 200, body: { version: 2 } });
    expect([await ask(), await ask()]).toEqual([200, 402]);
    expect((await admin("POST", "/config/rollback", { version: 1 })).status).toBe(200);
    expect(await ask()).toBe(200);
  });

  it("refuses what is no budget, and puts nothing in force then", async () => {
    await open();
    for (const budgets of [[{ per: "day" }], [{ usd: -1, per: "day" }], [{ usd: 1, per: "fortnight" }], "all"]) {
      expect((await admin("PUT", "/budgets", { budgets })).status).toBe(400);
    }
    expect((await admin("PUT", "/budgets", { budgets: [{ usd: 1, per: "day", downgradeTo: "nowhere" }] })).status).toBe(400);
    expect((await admin("POST", "/keys", { name: "k", budgets: [{ per: "day" }] })).status).toBe(400);
    expect((await admin("GET", "/budgets")).body["budgets"]).toMatchObject([{ name: "all" }]);
  });
});
