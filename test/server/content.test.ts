import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openHouse, type House } from "../../src/house.ts";
import { runCommand } from "../support/command-line.ts";

const CONFIG = `version: 1
models:
  kept: { targets: [sim/echo] }
  bare: { targets: [sim/echo] }
  told: { targets: [sim/echo], cache: { ttlSeconds: 600 } }
content:
  store:
    - match: { team: secret }
      share: 0
      redact: none
    - match: { model: kept }
      share: 1
      days: 2
      redact:
        - { name: card, pattern: '\\b\\d{4}(?: ?\\d{4}){3}\\b', with: '[card]' }
        - { path: '$.prompt.tools' }
    - match: { metadata: { feature: "pay*" } }
      share: 1
      what: [answer]
      redact: none
    - match: { model: told }
      share: 1
      redact: none
      maxCharacters: 2000
`;

let folder = "";
let house: House;
let developer = "";
let viewer = "";
let plain = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-content-"));
  house = await openHouse({
    config: { text: CONFIG, fileName: "gimbal.yaml" },
    folder,
    host: "127.0.0.1",
    port: 0,
    env: {},
    log: () => {},
  });
  developer = await key({ name: "dev", surfaces: ["admin"], role: "developer" });
  viewer = await key({ name: "view", surfaces: ["admin"], role: "viewer" });
  plain = await key({ name: "plain" });
});
afterAll(async () => {
  await house.close();
  await rm(folder, { recursive: true, force: true });
});

async function key(spec: object): Promise<string> {
  return ((await admin("POST", "/keys", spec)).body as { key: string }).key;
}
async function send(
  method: string,
  path: string,
  token: string | undefined,
  body?: object,
  headers: object = {},
): Promise<{ status: number; body: unknown; call: string }> {
  const response = await fetch(`${house.url}${path}`, {
    method,
    headers: { "content-type": "application/json", ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  // A call has its row a moment after its answer ended.
  await house.gateway.live.whenIdle();
  return {
    status: response.status,
    body: text.startsWith("{") ? JSON.parse(text) : text,
    call: response.headers.get("x-gimbal-call-id") ?? "",
  };
}
const admin = (method: string, path: string, body?: object): ReturnType<typeof send> =>
  send(method, `/admin/api${path}`, house.adminToken.reveal(), body);
const chat = async (model: string, text: string, change: object = {}, headers: object = {}, as?: string): Promise<string> => {
  const { status, call, body } = await send(
    "POST",
    "/v1/chat/completions",
    as,
    { model, messages: [{ role: "user", content: text }], ...change },
    headers,
  );
  expect(status, JSON.stringify(body)).toBe(200);
  return call;
};
const read = (call: string, as = developer): ReturnType<typeof send> => send("GET", `/v1/calls/${call}/content`, as);

const LEAK = "my card is 4111 1111 1111 1111, thanks";

describe("prompts and answers stored by a policy", () => {
  it("are redacted before they are stored, of plain and streamed answers in every language", async () => {
    const tools = [{ type: "function", function: { name: "pay", parameters: { type: "object" } } }];
    const first = await chat("kept", LEAK, { tools, user: "ada@example.org" });
    const streamed = await chat("kept", LEAK, { stream: true });
    const message = await send("POST", "/v1/messages", undefined, {
      model: "kept",
      max_tokens: 50,
      messages: [{ role: "user", content: LEAK }],
    });
    for (const call of [first, streamed, message.call]) {
      const { status, body } = await read(call);
      expect([call, status]).toEqual([call, 200]);
      expect(body).toMatchObject({
        id: call,
        model: "kept",
        prompt: { items: [{ type: "message", role: "user", parts: [{ type: "text", text: "my card is [card], thanks" }] }] },
        answer: { stop: "end", items: [{ type: "message", parts: [{ text: "my card is [card], thanks" }] }] },
        redacted: { card: 2 },
      });
    }
    expect((await read(first)).body).toMatchObject({ prompt: { tools: "[redacted]" }, redacted: { "rule 2": 1 } });
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
      (file) => file.isFile() && file.parentPath.endsWith("content"),
    );
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) expect(readFileSync(join(file.parentPath, file.name), "latin1")).not.toMatch(/4111|ada@example|my card/);
  });

  it("are only what the first policy that fits wants, and nothing by default", async () => {
    const bare = await chat("bare", "not stored");
    expect((await read(bare)).status).toBe(404);
    const paid = await chat("bare", "only the answer", {}, { "x-gimbal-metadata": JSON.stringify({ feature: "payroll" }) });
    const { body } = await read(paid);
    expect(body).toMatchObject({ answer: { items: [{ parts: [{ text: "only the answer" }] }] } });
    expect(body).not.toHaveProperty("prompt");
    const secret = await key({ name: "secret", team: "secret" });
    expect((await read(await chat("kept", "hush", {}, {}, secret))).status).toBe(404);
  });

  it("are stored of repeated answers and continued turns, and not where they are too long", async () => {
    await chat("told", "again");
    const hit = await chat("told", "again");
    expect((await read(hit)).body).toMatchObject({ answer: { items: [{ parts: [{ text: "again" }] }] } });
    expect((await read(await chat("told", "x".repeat(3000)))).status).toBe(404);
    const one = await send("POST", "/v1/responses", undefined, { model: "kept", input: "first turn" });
    const two = await send("POST", "/v1/responses", undefined, {
      model: "kept",
      input: "second turn",
      previous_response_id: (one.body as { id: string }).id,
    });
    const texts = JSON.stringify((await read(two.call)).body);
    expect(texts).toContain("first turn");
    expect(texts).toContain("second turn");
    const page = String((await send("GET", "/metrics", undefined)).body);
    expect(page).toMatch(/gimbal_unrecorded_total\{reason="too_long"\} 1\n/);
    expect(page).toMatch(/gimbal_recorded_total\{what="content"\} [1-9]/);
  });

  it("are shown to developers and admins only, and the audit says to whom", async () => {
    const call = await chat("kept", "who saw this", {}, {}, plain);
    expect((await read(call, plain)).status).toBe(403);
    expect((await read(call, viewer)).status).toBe(403);
    expect((await send("GET", `/v1/calls/${call}/content`, undefined)).status).toBe(403);
    expect((await send("GET", `/admin/api/content/${call}`, viewer)).status).toBe(403);
    expect((await read("call_none")).status).toBe(404);
    const seen = async (): Promise<unknown[]> =>
      ((await admin("GET", `/audit?action=data.access&subject=call:${call}`)).body as { entries: unknown[] }).entries;
    expect(await seen()).toEqual([]);
    expect((await read(call)).status).toBe(200);
    expect((await admin("GET", `/content/${call}`)).status).toBe(200);
    expect(await seen()).toEqual([
      expect.objectContaining({ actor: "admin", action: "data.access" }),
      expect.objectContaining({ actor: expect.stringMatching(/^key:/) as string, action: "data.access" }),
    ]);
  });

  it("are erased by call, key and end user, by an admin only", async () => {
    const [one, two, three] = [
      await chat("kept", "forget one", { user: "eve" }),
      await chat("kept", "forget two", { user: "eve" }),
      await chat("kept", "forget three", {}, {}, plain),
    ];
    expect((await send("DELETE", `/admin/api/content?call=${one}`, developer)).status).toBe(403);
    expect((await admin("DELETE", "/content")).status).toBe(400);
    expect((await admin("DELETE", "/content?call=a&key=b")).status).toBe(400);
    expect((await admin("DELETE", `/content?call=${one}`)).body).toEqual({ erased: 1 });
    expect((await admin("DELETE", "/content?endUser=eve")).body).toEqual({ erased: 1 });
    expect([(await read(one)).status, (await read(two)).status, (await read(three)).status]).toEqual([404, 404, 200]);
    const { keys } = (await admin("GET", "/keys")).body as { keys: { id: string; name: string }[] };
    const id = keys.find(({ name }) => name === "plain")?.id ?? "";
    const { erased } = (await admin("DELETE", `/content?key=${id}`)).body as { erased: number };
    expect(erased).toBeGreaterThan(0);
    expect((await read(three)).status).toBe(404);
    const { entries } = (await admin("GET", "/audit?action=data.erase")).body as { entries: { subject: string }[] };
    expect(entries.map(({ subject }) => subject)).toContain(`call:${one}`);
    expect(JSON.stringify(entries)).not.toContain("eve");
    const { partitions } = (await admin("GET", "/content")).body as { partitions: { expires: string; calls: number }[] };
    expect(partitions.map(({ expires }) => expires)).toEqual(partitions.map(({ expires }) => expires).toSorted());
  });
});

const cli = (...argv: string[]): ReturnType<typeof runCommand> =>
  runCommand(folder, { url: house.url, adminToken: house.adminToken.reveal() }, argv);

describe("gimbal ledger content, stored and erase", () => {
  it("show, count and erase what is stored", async () => {
    const call = await chat("kept", "from the command line", { user: "ann" });
    const shown = await cli("ledger", "content", call, "--json");
    expect(JSON.parse(shown.out)).toMatchObject({ id: call, prompt: { items: [{ parts: [{ text: "from the command line" }] }] } });
    expect((await cli("ledger", "stored")).out).toMatch(/^EXPIRES +CALLS\n\d{4}-\d\d-\d\d +\d+/);
    expect((await cli("ledger", "erase", "--end-user", "ann")).out).toContain("of 1 call were erased");
    const gone = await cli("ledger", "content", call);
    expect([gone.code, gone.err]).toEqual([1, expect.stringContaining("stored")]);
    for (const flags of [[], ["--call", "a", "--key", "b"], ["--call", ""]]) expect((await cli("ledger", "erase", ...flags)).code).toBe(2);
  });
});
