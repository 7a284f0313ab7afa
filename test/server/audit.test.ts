import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ProblemError, type Stores } from "../../src/canon/index.ts";
import { openHouse } from "../../src/house.ts";
import { systemClock } from "../../src/kit/index.ts";
import { parseEntry, type Entry } from "../../src/ledger/audit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { temporaryFolder } from "../stores/folders.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: "audit: { keyName: audit.example/test }\n" });
});
afterAll(() => gateway.close());

function admin(method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}
async function entries(query = ""): Promise<readonly Entry[]> {
  return ((await (await admin("GET", `/audit?${query}`)).json()) as { entries: readonly Entry[] }).entries;
}

describe("the audit of the admin API", () => {
  it("tells of the start and of the configuration it began with", async () => {
    const [start] = await entries("action=gateway.start");
    expect(start).toMatchObject({ actor: "gateway", outcome: "done", details: { config: 1 } });
    const [config] = await entries("action=config");
    expect(config).toMatchObject({ actor: "file", action: "config.change", subject: "configuration:1" });
  });

  it("tells who made, used and revoked what, in one request each", async () => {
    const { id } = (await (await admin("POST", "/keys", { name: "Ada Lovelace" })).json()) as { id: string };
    await admin("DELETE", `/keys/${id}`);
    await admin("POST", "/kill", { scope: "provider", value: "sim", reason: "secret reason" });
    await admin("POST", "/health/targets", { provider: "sim", force: "shut" });
    await admin("POST", "/health/targets", { provider: "sim", force: "auto" });
    const [kill] = ((await (await admin("GET", "/kill")).json()) as { kills: { id: string }[] }).kills;
    await admin("DELETE", `/kill/${kill?.id ?? ""}`);
    await admin("DELETE", "/cache?tag=doc-1");
    const made = (await entries("actor=admin")).filter(({ action }) => action !== "data.read").toReversed();
    expect(made.map(({ action }) => action)).toEqual([
      "key.create",
      "key.revoke",
      "switch.kill",
      "switch.shut",
      "switch.lift",
      "switch.lift",
      "cache.forget",
    ]);
    expect(made.map(({ subject }) => subject)).toEqual(expect.arrayContaining([`key:${id}`, "provider:sim", "tag:doc-1"]));
    expect(new Set(made.map(({ requestId }) => requestId)).size).toBe(made.length);
    // Names and reasons are somebody's words: they are there as hashes only.
    expect(JSON.stringify(made)).not.toMatch(/Ada|secret reason/);
  });

  it("tells of changes that were refused, and of a wrong token, without filling up", async () => {
    const missing = await admin("DELETE", "/keys/none");
    expect(missing.status).toBe(404);
    expect((await admin("POST", "/config/rollback", { version: 99 })).status).toBeGreaterThanOrEqual(400);
    const refused = await entries("action=admin.refused");
    expect(refused.map(({ subject, outcome }) => [subject, outcome])).toEqual([
      ["POST /config/rollback", "refused"],
      ["DELETE /keys/none", "refused"],
    ]);
    expect(refused[1]?.requestId).toBe(missing.headers.get("x-gimbal-request-id"));
    for (let attempt = 0; attempt < 5; attempt++) expect((await fetch(`${gateway.url}/admin/api/keys`)).status).toBe(401);
    expect((await entries("action=admin.sign-in")).map(({ details }) => details)).toEqual([{ attempts: 1 }]);
  });

  it("tells who read the ledger, once for the same reading", async () => {
    for (const query of ["?limit=3", "?limit=3", "?limit=4"]) await admin("GET", `/ledger${query}`);
    const reads = await entries("action=data.read&subject=GET%20%2Fledger");
    expect(reads.map(({ details }) => details?.["query"])).toEqual(["limit=4", "limit=3"]);
  });

  it("signs on demand, with the name it was given", async () => {
    const { name, id, key } = (await (await admin("GET", "/audit/key")).json()) as Record<string, string>;
    expect(name).toBe("audit.example/test");
    expect(key).toMatch(new RegExp(`^audit\\.example/test\\+${id ?? ""}\\+`));
    const made = (await (await admin("POST", "/audit/checkpoint")).json()) as { size: number; note: string };
    expect(made.note).toMatch(/^audit\.example\/test\n\d+\n[A-Za-z0-9+/]{43}=\n\n— audit\.example\/test [A-Za-z0-9+/]+=*\n$/);
    const { checkpoints } = (await (await admin("GET", "/audit/checkpoints")).json()) as { checkpoints: { size: number }[] };
    expect(checkpoints.map(({ size }) => size)).toContain(made.size);
  });
});

describe("a record that cannot be written", () => {
  it("keeps changes from being made and reads from being refused", async () => {
    const kept = memoryStores(systemClock);
    let failure: string | undefined;
    let refuses = false;
    const full = (): Promise<never> => Promise.reject(new ProblemError({ kind: "storage_unavailable", message: "the disk is full" }));
    const stores: Stores = {
      ...kept,
      ledger: { ...kept.ledger, failure: () => failure },
      audit: { ...kept.audit, append: (note) => (refuses ? full() : kept.audit.append(note)) },
    };
    const house = await openHouse({
      config: { text: "version: 1\n", fileName: "gimbal.yaml" },
      folder: temporaryFolder(),
      host: "127.0.0.1",
      port: 0,
      env: {},
      log: () => {},
      stores,
    });
    const ask = (method: string, path: string, body?: object): Promise<Response> =>
      fetch(`${house.url}/admin/api${path}`, {
        method,
        headers: { authorization: `Bearer ${house.adminToken.reveal()}` },
        ...(body && { body: JSON.stringify(body) }),
      });
    failure = "the disk is full";
    const refused = await ask("POST", "/keys", { name: "x" });
    expect([refused.status, refused.headers.get("x-gimbal-problem")]).toEqual([503, "storage_unavailable"]);
    expect(await refused.text()).toContain("Nothing is changed while the audit cannot be written: the disk is full");
    expect(await kept.keys.list()).toEqual([]);
    expect((await ask("GET", "/ledger")).status).toBe(200);
    // Known to be well, and then not: whatever leaves no note with its change is not acknowledged.
    failure = undefined;
    refuses = true;
    expect((await ask("POST", "/audit/checkpoint")).status).toBe(503);
    expect((await ask("GET", "/ledger?limit=7")).status).toBe(200);
    refuses = false;
    expect((await ask("POST", "/keys", { name: "x" })).status).toBe(201);
    await house.close();
    const actions = (await kept.audit.read(0, 100)).map(({ text }) => parseEntry(text)?.action);
    expect(actions.filter((action) => action === "data.read")).toHaveLength(2);
    expect(actions.at(-1)).toBe("data.read");
  });
});
