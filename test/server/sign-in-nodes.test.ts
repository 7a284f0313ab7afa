import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endAll, serve, type Served } from "../end-to-end/resume-process.ts";
import { systemClock } from "../../src/kit/index.ts";
import { openDataSeal } from "../../src/stores/index.ts";
import { Keyring } from "../../src/stores/sealing/keyring.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { AUDIENCE, Browser, CLIENT, CLIENT_SECRET, startIssuer, type TestIssuer } from "../support/issuer.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { promisedMs } from "../support/promised.ts";

const TOKEN = "nodes-token";
const PROMISED_MS = promisedMs(1000);
/** Fresh connections are dealt out in turn: so many meet every worker. */
const CONNECTIONS = 4;

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await startIssuer({ services: { indexer: {} } });
});
afterAll(() => issuer.close());

const configOf = (publicUrl = ""): string => `access: { anonymous: never }
identity:
  oidc:
    issuer: ${issuer.issuer}
    clientId: ${CLIENT}
    clientSecret: ${CLIENT_SECRET}
    roles: { map: { admins: admin } }
${publicUrl}  jwt: [{ name: lab, issuer: "${issuer.issuer}", audience: "${AUDIENCE}" }]
`;

/** The status of one request over a connection of its own. */
function statusOf(url: string, headers: Readonly<Record<string, string>>, method = "GET", body?: object): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent: false, headers: { "content-type": "application/json", ...headers } }, (response) =>
      resolve(response.resume().statusCode ?? 0),
    );
    sent.on("error", reject);
    sent.end(body && JSON.stringify(body));
  });
}
const CALL = { model: "sim/echo", messages: [{ role: "user", content: "hello" }] };
const call = (url: string, token: string): Promise<number> =>
  statusOf(`${url}/v1/chat/completions`, { authorization: `Bearer ${token}` }, "POST", CALL);
const many = (ask: () => Promise<number>): Promise<readonly number[]> => Promise.all(Array.from({ length: CONNECTIONS }, ask));
const all = (status: number): readonly number[] => Array.from({ length: CONNECTIONS }, () => status);

describe("two workers of one gateway", () => {
  let folder: string;
  let served: Served;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "gimbal-nodes-"));
    const file = join(folder, "gimbal.yaml");
    await writeFile(file, `version: 1\n${configOf()}`);
    await writeFile(join(folder, "admin-token"), TOKEN, { mode: 0o600 });
    served = await serve(folder, file, ["--workers", "2"]);
    issuer.serve({ home: served.url, services: { indexer: {} }, people: { ada: { groups: ["admins"] } } });
  }, 60_000);
  afterAll(async () => {
    endAll();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  it("refuse a token within a second after one of them was told to", async () => {
    const token = await issuer.accessToken("indexer");
    expect(await many(() => call(served.url, token))).toEqual(all(200));
    const denied = await statusOf(`${served.url}/admin/api/denials`, { authorization: `Bearer ${TOKEN}` }, "POST", {
      issuer: "lab",
      subject: "indexer",
    });
    expect(denied).toBe(201);
    await expect.poll(() => many(() => call(served.url, token)), { timeout: PROMISED_MS, interval: 20 }).toEqual(all(401));
  });

  it("know who is signed in, whichever they came back to, until they sign out at one of them", async () => {
    const browser = new Browser();
    const back = await browser.signInAtProvider(`${served.url}/admin/sign-in`, "ada");
    expect((await browser.ask(back)).status).toBe(303);
    const cookie = `gimbal_session=${browser.cookies(served.url).get("gimbal_session") ?? ""}`;
    const asked = (): Promise<readonly number[]> => many(() => statusOf(`${served.url}/admin/api/session`, { cookie }));
    expect(await asked()).toEqual(all(200));
    // What came back once is good at no other worker either: the provider has given its code away.
    const attempt = `gimbal_sign_in=${browser.cookies(served.url).get("gimbal_sign_in") ?? ""}`;
    expect(await many(() => statusOf(back, { cookie: attempt }))).toEqual(all(401));
    expect(await statusOf(`${served.url}/admin/sign-out`, { cookie, origin: served.url }, "POST")).toBe(303);
    await expect.poll(asked, { timeout: PROMISED_MS, interval: 20 }).toEqual(all(401));
  });
});

describe("two workers whose keys were just renewed", () => {
  let folder: string;
  let served: Served;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "gimbal-nodes-"));
    const file = join(folder, "gimbal.yaml");
    await writeFile(file, `version: 1\n${configOf()}`);
    served = await serve(folder, file, ["--workers", "2"]);
    issuer.serve({ home: served.url, services: { indexer: {} }, people: { ada: { groups: ["admins"] } } });
  }, 60_000);
  afterAll(async () => {
    endAll();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  it("both open a session that is sealed under the new key, though nobody has told them of it", async () => {
    const browser = new Browser();
    expect((await browser.ask(await browser.signInAtProvider(`${served.url}/admin/sign-in`, "ada"))).status).toBe(303);
    const sealed = browser.cookies(served.url).get("gimbal_session") ?? "";
    const identity = ["sign-in", "session"];
    // As a third process would: it renews the key, and seals under it.
    const keys = await Keyring.open({ env: {}, folder });
    await keys.renew();
    const seal = await openDataSeal({ env: {}, folder, clock: systemClock });
    const cookie = `gimbal_session=${seal.seal(seal.open(sealed, identity) ?? "", identity)}`;
    expect(await many(() => statusOf(`${served.url}/admin/api/session`, { cookie }))).toEqual(all(200));
    const madeUp = `gimbal_session=0123456789abcdef.${sealed.split(".")[1] ?? ""}`;
    expect(await many(() => statusOf(`${served.url}/admin/api/session`, { cookie: madeUp }))).toEqual(all(401));
  });
});

describe.skipIf(!hasPostgres)("two gateways on one PostgreSQL", () => {
  let server: TestPostgres;
  let one: TestGateway;
  let two: TestGateway;
  beforeAll(async () => {
    server = await startPostgres();
    const env = { GIMBAL_DATABASE_URL: server.url("signin"), GIMBAL_DATA_KEY: Buffer.alloc(32, 7).toString("base64") };
    const config = configOf("    publicUrl: http://localhost:1\n");
    one = await startGateway({ config, env });
    two = await startGateway({ config, env });
    issuer.serve({ home: "http://localhost:1", services: { indexer: {} }, people: { ada: { groups: ["admins"] } } });
  });
  afterAll(async () => {
    await Promise.all([one?.close(), two?.close()]);
    await server?.stop();
  });

  it("refuse a token within a second after one of them was told to", async () => {
    const token = await issuer.accessToken("indexer");
    expect([await call(one.url, token), await call(two.url, token)]).toEqual([200, 200]);
    const authorization = `Bearer ${one.house.adminToken.reveal()}`;
    expect(await statusOf(`${one.url}/admin/api/denials`, { authorization }, "POST", { issuer: "lab", subject: "indexer" })).toBe(201);
    await expect.poll(() => call(two.url, token), { timeout: PROMISED_MS, interval: 20 }).toBe(401);
  });

  it("know who signed in at the other, behind one public address", async () => {
    const browser = new Browser();
    const back = new URL(await browser.signInAtProvider(`${one.url}/admin/sign-in`, "ada"));
    expect(back.origin).toBe("http://localhost:1");
    // Begun at one of them, finished at the other, as behind a load balancer.
    const attempt = `gimbal_sign_in=${browser.cookies(one.url).get("gimbal_sign_in") ?? ""}`;
    const landed = await fetch(`${two.url}${back.pathname}${back.search}`, { redirect: "manual", headers: { cookie: attempt } });
    expect([landed.status, landed.headers.get("location")]).toEqual([303, "/"]);
    const cookie = landed.headers.getSetCookie()[0]?.split(";")[0] ?? "";
    const asked = (gateway: TestGateway): Promise<number> => statusOf(`${gateway.url}/admin/api/session`, { cookie });
    expect([await asked(one), await asked(two)]).toEqual([200, 200]);
    expect(await statusOf(`${one.url}/admin/sign-out`, { cookie, origin: "http://localhost:1" }, "POST")).toBe(303);
    await expect.poll(() => asked(two), { timeout: PROMISED_MS, interval: 20 }).toBe(401);
  });

  it("bound a team for both", async () => {
    const { key } = { key: await one.key({ name: "member", team: "search" }) };
    expect(await call(two.url, key)).toBe(200);
    const authorization = `Bearer ${one.house.adminToken.reveal()}`;
    expect(await statusOf(`${one.url}/admin/api/teams/search`, { authorization }, "PATCH", { models: ["other"] })).toBe(200);
    await expect.poll(() => call(two.url, key), { timeout: PROMISED_MS, interval: 20 }).toBe(403);
  });
});
