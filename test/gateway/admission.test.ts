import { describe, expect, it } from "vitest";
import { ProblemError, type Dialect, type Headers, type KeyRecord, type KeyStore, type Snapshot } from "../../src/canon/index.ts";
import { Admission, isLocal } from "../../src/gateway/admission.ts";
import { newKey } from "../../src/gateway/keys.ts";
import { readWishes } from "../../src/gateway/request.ts";
import { ManualClock, SystemRandomness } from "../../src/kit/index.ts";

const LOCAL = { host: "127.0.0.1:4100" };

describe("who counts as being on this machine", () => {
  const cases: [string, Headers, boolean][] = [
    ["127.0.0.1", LOCAL, true],
    ["::1", { host: "[::1]:4100" }, true],
    ["::ffff:127.0.0.1", { host: "localhost:4100" }, true],
    ["127.0.0.1", { host: "localhost" }, true],
    ["127.0.0.1", { ...LOCAL, origin: "http://localhost:5173" }, true],
    ["10.0.0.1", LOCAL, false],
    ["127.0.0.1", {}, false],
    ["127.0.0.1", { host: "evil.example:4100" }, false],
    ["127.0.0.1", { host: "127.0.0.1.evil.example" }, false],
    ["127.0.0.1", { host: "localhost.evil.example" }, false],
    ["127.0.0.1", { ...LOCAL, origin: "https://evil.example" }, false],
    ["127.0.0.1", { ...LOCAL, origin: "null" }, false],
    ["127.0.0.1", { ...LOCAL, "x-forwarded-for": "1.2.3.4" }, false],
    ["127.0.0.1", { ...LOCAL, forwarded: "for=1.2.3.4" }, false],
    ["127.0.0.1", { ...LOCAL, "x-forwarded-proto": "https" }, false],
    ["127.0.0.1", { host: "LocalHost:4100" }, true],
    ["127.0.0.1", { ...LOCAL, via: "1.1 proxy" }, false],
  ];
  for (const [peer, headers, local] of cases)
    it(`${peer} ${JSON.stringify(headers)}: ${local ? "yes" : "no"}`, () => expect(isLocal(headers, peer)).toBe(local));
});

function setUp(anonymous: Snapshot["access"]["anonymous"] = "never") {
  const clock = new ManualClock();
  const records: KeyRecord[] = [];
  let generation = 0;
  const looked: string[] = [];
  const keys: KeyStore = {
    create: async (record) => void records.push(record),
    byHash: async (hash) => {
      looked.push(hash);
      return records.find((record) => record.hash === hash);
    },
    list: async () => records,
    rotate: async () => true,
    revoke: async () => true,
    edit: async () => true,
    bound: async () => ({}),
    bounds: async () => [],
    deny: async () => {},
    allow: async () => true,
    denials: async () => [],
    generation: async () => generation,
  };
  const admission = new Admission({ keys, clock });
  const dialect = { credentials: (headers: Headers) => headers["authorization"]?.slice(7) } as unknown as Dialect;
  const snapshot = { access: { anonymous }, callerLimits: [] } as unknown as Snapshot;
  const identify = async (key?: string, peer = "10.0.0.1") =>
    admission.identify(snapshot, dialect, key === undefined ? LOCAL : { ...LOCAL, authorization: `Bearer ${key}` }, peer);
  const add = (spec: Partial<KeyRecord> = {}): { key: string; record: KeyRecord } => {
    const made = newKey({ name: "n", scopes: {}, limits: [], ...spec }, clock, new SystemRandomness());
    records.push(made.record);
    return made;
  };
  const revoke = (id: string): void => {
    const place = records.findIndex((record) => record.id === id);
    const record = records[place];
    if (record) records[place] = { ...record, revokedAt: clock.now() };
    generation++;
  };
  return { admission, clock, identify, add, revoke, looked, snapshot };
}

async function kindOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "none";
  } catch (error) {
    return error instanceof ProblemError ? error.problem.kind : String(error);
  }
}

describe("admission", () => {
  it("knows its own keys, looks each up once, and refuses every other gk_ key whatever the access", async () => {
    const { identify, add, looked } = setUp("any");
    const { key, record } = add({ name: "alice", team: "search" });
    // What is looked up before the first answer about changes may be older than one, and is not remembered.
    await new Promise((resolve) => setImmediate(resolve));
    expect(await identify(key)).toMatchObject({ id: record.id, name: "alice", team: "search", anonymous: false });
    await identify(key);
    expect(looked).toHaveLength(1);
    expect(await kindOf(() => identify("gk_unknown"))).toBe("unauthenticated");
    expect(await identify("sk-anything")).toMatchObject({ anonymous: true });
  });

  it("does not remember a key that was looked up while keys changed", async () => {
    const { admission, identify, add, revoke } = setUp();
    const { key, record } = add();
    const looking = identify(key);
    revoke(record.id);
    admission.forgetKeys();
    await looking;
    expect(await kindOf(() => identify(key))).toBe("unauthenticated");
  });

  it("refuses the nameless unless configured", async () => {
    expect(await kindOf(() => setUp("never").identify(undefined, "127.0.0.1"))).toBe("unauthenticated");
    expect(await kindOf(() => setUp("loopback").identify(undefined, "10.0.0.1"))).toBe("unauthenticated");
    expect(await setUp("loopback").identify("sk-x", "127.0.0.1")).toMatchObject({ anonymous: true });
  });

  it("forgets a revoked key within a second, and an expired one at once", async () => {
    const { identify, add, revoke, clock } = setUp();
    const lasting = add();
    const expiring = add({ expiresAt: clock.now() + 300 });
    await identify(lasting.key);
    await identify(expiring.key);
    clock.advance(300);
    expect(await kindOf(() => identify(expiring.key))).toBe("unauthenticated");
    clock.advance(200);
    await Promise.resolve();
    await Promise.resolve();
    revoke(lasting.record.id);
    clock.advance(500);
    await Promise.resolve();
    await Promise.resolve();
    expect(await kindOf(() => identify(lasting.key))).toBe("unauthenticated");
  });

  it("makes keys that differ, show their beginning and cannot be read from the record", () => {
    const { add } = setUp();
    const [a, b] = [add(), add()];
    expect(a.key).toMatch(/^gk_[0-9A-Za-z]{43}$/);
    expect(a.key).not.toBe(b.key);
    expect(a.key.startsWith(a.record.prefix)).toBe(true);
    expect(JSON.stringify(a.record)).not.toContain(a.key.slice(12));
  });
});

describe("what the x-gimbal headers wish for", () => {
  it("reads metadata, session, disconnect and trace", () => {
    expect(readWishes({})).toEqual({ onDisconnect: "cancel" });
    expect(
      readWishes({
        "x-gimbal-metadata": '{"feature":"search","n":1,"b":true}',
        "x-gimbal-session": "s1",
        "x-gimbal-on-disconnect": "detach",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      }),
    ).toEqual({
      metadata: { feature: "search", n: 1, b: true },
      session: "s1",
      onDisconnect: "detach",
      traceId: "0af7651916cd43dd8448eb211c80319c",
    });
    expect(readWishes({ traceparent: "nonsense" }).traceId).toBeUndefined();
  });

  it("refuses what it cannot read, naming the header", async () => {
    for (const headers of [
      { "x-gimbal-metadata": "{" },
      { "x-gimbal-metadata": "[]" },
      { "x-gimbal-metadata": '{"a":{"b":1}}' },
      { "x-gimbal-metadata": `{"a":"${"x".repeat(5000)}"}` },
      { "x-gimbal-session": "x".repeat(300) },
      { "x-gimbal-on-disconnect": "explode" },
    ] as Headers[]) {
      expect(await kindOf(() => readWishes(headers)), JSON.stringify(headers).slice(0, 60)).toBe("invalid_request");
    }
  });
});
