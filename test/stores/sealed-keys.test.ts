import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ProblemError, type Stores } from "../../src/canon/index.ts";
import { ManualClock, systemClock } from "../../src/kit/index.ts";
import { openDataSeal, openPostgres, openSqlite } from "../../src/stores/index.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { startTransit, type TestTransit } from "../support/transit.ts";
import { temporaryFolder } from "./folders.ts";
import { keptTurn, START } from "./rows.ts";

const clock = new ManualClock(START);
const TURNS = 120;
const LATER = START + 1e9;
const TEXT = "version: 1\nproviders: { openai: { apiKey: sk-live-4f6b1d0c9a8e7 } }\n";

const opened: Stores[] = [];
afterEach(async () => void (await Promise.all(opened.splice(0).map((stores) => stores.close()))));
async function open(folder: string, env: Readonly<Record<string, string>> = {}): Promise<Stores> {
  const stores = await openSqlite({ folder, node: "n", clock, env });
  opened.push(stores);
  return stores;
}
async function close(stores: Stores): Promise<void> {
  opened.splice(opened.indexOf(stores), 1);
  await stores.close();
}

/** One row and more of everything that is sealed. */
async function fill(stores: Stores): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) void stores.calls.keepTurn(keptTurn(`turn-${turn}`, { expiresAt: LATER }));
  const { items } = { items: keptTurn("x").output };
  await stores.calls.keepNative([{ scope: "key_1", anchor: "call:a", items, expiresAt: LATER }]);
  await stores.config.append({ createdAt: START, author: "file", text: TEXT });
  await stores.config.append({ createdAt: START, author: "file", text: `${TEXT}# 2\n` });
  await stores.cache.keep(
    {
      scope: "key_1",
      key: "k",
      model: "m",
      target: "a/b",
      tags: ["t"],
      createdAt: START,
      freshUntil: LATER,
      expiresAt: LATER,
      content: "kept answer",
    },
    await stores.cache.generation(),
    1e9,
  );
  await stores.idempotency.claim({ scope: "key_1", key: "i", fingerprint: "f", callId: "call_1", node: "n", expiresAt: LATER }, START);
  await stores.idempotency.keep("key_1", "i", "call_1", { head: { status: 200, headers: {} }, frames: [Buffer.from("frame")] });
  await stores.idempotency.claim({ scope: "key_1", key: "open", fingerprint: "f", callId: "call_2", node: "n", expiresAt: LATER }, START);
  await stores.ledger.flush();
}
/** What can be read of it, in a few words. */
async function readAll(stores: Stores): Promise<readonly unknown[]> {
  const turns = await Promise.all(Array.from({ length: TURNS }, (_, turn) => stores.calls.readTurn("key_1", `turn-${turn}`, START)));
  const natives = await stores.calls.findNative("key_1", ["call:a"], START);
  const held = await stores.idempotency.read("key_1", "i", START);
  return [
    turns.filter((turn) => turn !== undefined).length,
    natives.size,
    (await stores.cache.read("key_1", "k", START))?.content,
    Buffer.from(held?.answer?.frames[0] ?? []).toString(),
    (await stores.config.read(1))?.text === TEXT,
    (await stores.config.list(9)).filter(({ text }) => text.startsWith(TEXT)).length,
  ];
}
const ALL = [TURNS, 1, "kept answer", "frame", true, 2];
/** Turns, a native item, an answer to a call, one to a repeated key, and two versions. */
const ROWS = TURNS + 5;

const keysIn = (folder: string): string[] => readFileSync(join(folder, "serving.key"), "utf8").trim().split("\n");
async function problemOf(promise: Promise<unknown>): Promise<ProblemError["problem"]> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ProblemError)) throw new Error("it was not refused", { cause: error });
  return error.problem;
}

describe("the keys that seal a data folder", () => {
  it("are rotated while turns are kept and read; then the new key alone opens everything", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    await fill(stores);
    const [old] = keysIn(folder);
    const rotating = stores.dataKeys.rotate();
    let meanwhile = 0;
    const busy = (async () => {
      for (; meanwhile < 200; meanwhile++) {
        await stores.calls.keepTurn(keptTurn(`more-${meanwhile}`, { expiresAt: LATER }));
        expect(await stores.calls.readTurn("key_1", `turn-${meanwhile % TURNS}`, START)).toBeDefined();
      }
    })();
    const done = await rotating;
    await busy;
    expect(done).toMatchObject({ made: true, keys: 2, lost: 0 });
    expect(done.resealed).toBeGreaterThanOrEqual(ROWS);
    expect(await readAll(stores)).toEqual(ALL);
    await close(stores);
    const keys = keysIn(folder);
    expect(keys).toHaveLength(2);
    expect(keys[1]).toBe(old);
    writeFileSync(join(folder, "serving.key"), `${keys[0]}\n`);
    const again = await open(folder);
    expect(await readAll(again)).toEqual(ALL);
    const last = meanwhile - 1;
    expect(await again.calls.readTurn("key_1", `more-${last}`, START)).toBeDefined();
  });

  it("of two who rotate at once make one new key, and raise the generation that others watch", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    const before = await stores.keys.generation();
    const [one, two] = await Promise.all([stores.dataKeys.rotate(), stores.dataKeys.rotate()]);
    expect(one).toEqual(two);
    expect(keysIn(folder)).toHaveLength(2);
    expect(await stores.keys.generation()).toBeGreaterThan(before);
  });

  it("that were changed halfway (killed after the new key was written) open everything, and go on from there", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    await fill(stores);
    await close(stores);
    writeFileSync(join(folder, "serving.key"), `${randomBytes(32).toString("base64")}\n${keysIn(folder).join("\n")}\n`);
    const halfway = await open(folder);
    expect(await readAll(halfway)).toEqual(ALL);
    expect(await halfway.dataKeys.rotate()).toMatchObject({ keys: 3, resealed: ROWS, lost: 0 });
    expect(await readAll(halfway)).toEqual(ALL);
  });

  it("leave what none of them opens as it is, and say how much that is", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    await fill(stores);
    await close(stores);
    writeFileSync(join(folder, "serving.key"), `${randomBytes(32).toString("base64")}\n`);
    const blind = await open(folder);
    expect(await blind.dataKeys.rotate()).toMatchObject({ resealed: 0, lost: ROWS });
  });

  it("may come from the environment: those of the folder then open what they sealed until all is sealed anew", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    await fill(stores);
    await close(stores);
    const env = { GIMBAL_DATA_KEY: randomBytes(32).toString("base64") };
    const moved = await open(folder, env);
    expect(await readAll(moved)).toEqual(ALL);
    expect(await moved.dataKeys.rotate()).toMatchObject({ made: false, resealed: ROWS });
    await close(moved);
    const database = new DatabaseSync(join(folder, "serving.db"), { readOnly: true });
    expect(database.prepare("SELECT count(DISTINCT key_id) AS keys FROM turns").get()?.["keys"]).toBe(1);
    database.close();
    writeFileSync(join(folder, "serving.key"), `${randomBytes(32).toString("base64")}\n`);
    expect(await readAll(await open(folder, env))).toEqual(ALL);
  });

  it("that are none are refused in a sentence", async () => {
    const folder = temporaryFolder();
    for (const key of ["short", "vault-transit:vault:v1:AAAA", `${randomBytes(32).toString("base64")},x`])
      expect((await problemOf(open(folder, { GIMBAL_DATA_KEY: key }))).code).toBe("data_key");
    expect((await problemOf(open(folder, { GIMBAL_DATA_KEY_FILE: join(folder, "none") }))).message).toContain("cannot be read");
    expect((await problemOf(open(folder, { GIMBAL_KEY_ENCRYPTION: "rot13" }))).message).toContain('"rot13"');
    // None of it has left a lock behind.
    await open(folder);
  });

  it("also seal what clients carry, and a process that runs on learns of a new one", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    const seal = await openDataSeal({ env: {}, clock: systemClock, folder });
    const before = seal.seal("turn", ["key_1"]);
    await stores.dataKeys.rotate();
    const later = await openDataSeal({ env: {}, clock: systemClock, folder });
    const after = later.seal("turn", ["key_1"]);
    expect(seal.open(after, ["key_1"])).toBeUndefined();
    expect(await seal.openFresh(after, ["key_2"])).toBeUndefined();
    expect(await seal.openFresh(after, ["key_1"])).toBe("turn");
    for (const one of [seal, later]) expect([before, after].map((token) => one.open(token, ["key_1"]))).toEqual(["turn", "turn"]);
    expect(seal.open(after, ["key_2"])).toBeUndefined();
  });
});

describe("a name of a key that nobody has", () => {
  it("is looked for seldom, however many come, and costs those nothing whose key is known", async () => {
    const folder = temporaryFolder();
    const manual = new ManualClock(START);
    const seal = await openDataSeal({ env: {}, clock: manual, folder });
    const known = seal.seal("turn", []);
    let over = 0;
    const made = Array.from({ length: 50 }, (_, at) =>
      seal.openFresh(`${String(at).padStart(16, "0")}.AAAA`, []).then((text) => {
        over++;
        return text;
      }),
    );
    // One look answers all that wait; the second waits for its time.
    expect(await seal.openFresh(known, [])).toBe("turn");
    await new Promise(setImmediate);
    expect(over).toBe(0);
    manual.advance(100);
    expect(await Promise.all(made)).toEqual(made.map(() => undefined));
    expect(await seal.openFresh("no key at all", [])).toBeUndefined();
  });
});

describe("keys that a keeper wraps", () => {
  let transit: TestTransit;
  beforeEach(async () => void (transit = await startTransit()));
  afterEach(() => transit.close());
  const envOf = (more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => ({
    GIMBAL_KEY_ENCRYPTION: "vault-transit",
    VAULT_ADDR: transit.url,
    VAULT_TOKEN: transit.token,
    GIMBAL_TRANSIT_KEY: "gimbal",
    ...more,
  });

  it("stand in the folder in no other form, open after a restart, and after the keeper's own rotation", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder, envOf());
    await fill(stores);
    expect(keysIn(folder)).toEqual([expect.stringMatching(/^vault-transit:vault:v1:[A-Za-z0-9+/=]+$/)]);
    await close(stores);
    transit.rotate();
    const again = await open(folder, envOf());
    expect(await readAll(again)).toEqual(ALL);
    const asked = transit.asked.length;
    expect(await again.dataKeys.rotate()).toMatchObject({ made: true, resealed: ROWS });
    expect(keysIn(folder)[0]).toMatch(/^vault-transit:vault:v2:/);
    // What was unwrapped once is not asked for again.
    expect(transit.asked.slice(asked)).toEqual(["/v1/transit/encrypt/gimbal"]);
    expect(await readAll(again)).toEqual(ALL);
    await close(again);
    expect((await problemOf(open(folder))).message).toContain('wrapped by "vault-transit"');
  });

  it("take a folder's plain keys along: from the next rotation on they are wrapped", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    await fill(stores);
    await close(stores);
    const wrapped = await open(folder, envOf());
    expect(await readAll(wrapped)).toEqual(ALL);
    await wrapped.dataKeys.rotate();
    await close(wrapped);
    const [first = ""] = keysIn(folder);
    writeFileSync(join(folder, "serving.key"), `${first}\n`);
    expect(await readAll(await open(folder, envOf()))).toEqual(ALL);
  });

  it("cannot be had from a keeper that refuses, is sealed, is away, or answers nonsense: each is said, and no token with it", async () => {
    const folder = temporaryFolder();
    await close(await open(folder, envOf()));
    const said = async (more: Readonly<Record<string, string>> = {}): Promise<string> => {
      const { kind, code, message } = await problemOf(open(folder, envOf(more)));
      expect([kind, code]).toEqual(["storage_unavailable", "data_key"]);
      expect(message).not.toContain(transit.token);
      return message;
    };
    expect(await said({ VAULT_TOKEN: "other" })).toContain("403 (permission denied)");
    expect(await said({ GIMBAL_TRANSIT_KEY: "other" })).toContain("404");
    transit.fail(503, ["Vault is sealed"]);
    expect(await said()).toContain("503 (Vault is sealed)");
    transit.fail(200);
    expect(await said()).toContain("200");
    transit.fail(undefined);
    const gone = await startTransit();
    await gone.close();
    expect(await said({ VAULT_ADDR: gone.url })).toContain("ECONNREFUSED");
    expect(await said({ VAULT_ADDR: "nowhere" })).toContain("VAULT_ADDR");
    writeFileSync(join(folder, "serving.key"), "vault-transit:vault:v1:AAAA\n");
    expect(await said()).toContain("invalid ciphertext");
  });

  it("a rotation that the keeper refuses changes nothing", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder, envOf());
    await fill(stores);
    transit.fail(500, ["internal error"]);
    expect((await problemOf(stores.dataKeys.rotate())).message).toContain("internal error");
    expect(keysIn(folder)).toHaveLength(1);
    expect(await readAll(stores)).toEqual(ALL);
    transit.fail(undefined);
    expect(await stores.dataKeys.rotate()).toMatchObject({ made: true, lost: 0 });
  });

  it("take a token from a file that is renewed beside the gateway", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "token");
    writeFileSync(file, `${transit.token}\n`);
    const { VAULT_TOKEN: _none, ...env } = envOf({ VAULT_TOKEN_FILE: file });
    const stores = await open(folder, env);
    writeFileSync(file, "expired");
    expect((await problemOf(stores.dataKeys.rotate())).message).toContain("permission denied");
    writeFileSync(file, transit.token);
    expect(await stores.dataKeys.rotate()).toMatchObject({ made: true });
  });
});

describe.skipIf(!hasPostgres)("the keys that seal a record in PostgreSQL", () => {
  let server: TestPostgres;
  beforeAll(async () => void (server = await startPostgres()));
  afterAll(() => server?.stop());

  it("are put first by whoever gives them; then everything is sealed anew, and the old one can go", async () => {
    const url = server.url();
    const [old, next] = [randomBytes(32).toString("base64"), randomBytes(32).toString("base64")];
    const openWith = async (key: string): Promise<Stores> => {
      const stores = await openPostgres({ url, folder: temporaryFolder(), node: "n", clock: systemClock, env: { GIMBAL_DATA_KEY: key } });
      opened.push(stores);
      return stores;
    };
    const first = await openWith(old);
    await fill(first);
    const both = await openWith(`${next},${old}`);
    const another = await openWith(`${old},${next}`);
    expect(await both.dataKeys.rotate()).toMatchObject({ made: false, keys: 2, resealed: ROWS, lost: 0 });
    for (const stores of [both, another]) expect(await readAll(stores)).toEqual(ALL);
    await Promise.all([close(first), close(another), close(both)]);
    expect(await readAll(await openWith(next))).toEqual(ALL);
    expect((await problemOf(openWith(old))).message).toContain("does not have");
  });
});
