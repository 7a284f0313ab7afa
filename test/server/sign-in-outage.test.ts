import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/canon/index.ts";
import { ProblemError, type Dialect, type Headers } from "../../src/canon/index.ts";
import { Admission } from "../../src/gateway/admission.ts";
import { identityOptions } from "../../src/gateway/identity-options.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { Identity } from "../../src/server/sign-in/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { AUDIENCE, startIssuer, type TestIssuer } from "../support/issuer.ts";

const MINUTE = 60_000;
const dialect = { credentials: (headers: Headers) => headers["authorization"]?.slice(7) } as unknown as Dialect;
const snapshot = { access: { anonymous: "never" }, callerLimits: [] } as unknown as Snapshot;

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await startIssuer();
});
afterAll(() => issuer.close());
beforeEach(() => issuer.away(false));
afterEach(() => issuer.away(false));

function setUp(extra: object = {}) {
  const clock = new ManualClock(Date.now());
  const logs: string[] = [];
  const stores = memoryStores(clock);
  const options = identityOptions.parse({
    jwt: [{ name: "lab", issuer: issuer.issuer, audience: AUDIENCE }],
    keysMinutes: 10,
    outageMinutes: 60,
    ...extra,
  });
  const identity = new Identity({ clock, fetch, log: (line) => logs.push(line) }, options);
  const node = (): Admission => new Admission({ keys: stores.keys, clock, issuers: identity.tokens });
  const admission = node();
  const ask = async (token: string, by = admission): Promise<string> => {
    try {
      const caller = await by.identify(snapshot, dialect, { authorization: `Bearer ${token}` }, "10.0.0.1");
      return caller.id;
    } catch (error) {
      return error instanceof ProblemError ? (error.problem.code ?? error.problem.kind) : String(error);
    }
  };
  const sign = (minutes = 600, more: object = {}): Promise<string> =>
    issuer.sign({ iss: issuer.issuer, aud: AUDIENCE, sub: "s", exp: Math.floor(clock.now() / 1000) + minutes * 60, ...more });
  const looks = (): number => issuer.asked.filter((path) => path === "/jwks").length;
  return { clock, logs, stores, identity, options, node, ask, sign, looks };
}

describe("an issuer's keys", () => {
  it("are fetched once, used for their time, and fetched again", async () => {
    const { clock, ask, sign, looks } = setUp();
    const before = looks();
    const token = await sign();
    expect([await ask(token), await ask(await sign(500)), looks() - before]).toEqual(["jwt:lab:s", "jwt:lab:s", 1]);
    clock.advance(9 * MINUTE);
    expect([await ask(token), looks() - before]).toEqual(["jwt:lab:s", 1]);
    clock.advance(2 * MINUTE);
    // Nobody waits for the look that is due.
    expect(await ask(token)).toBe("jwt:lab:s");
    await expect.poll(() => looks() - before).toBe(2);
    expect([await ask(token), looks() - before]).toEqual(["jwt:lab:s", 2]);
  });

  it("go on for a stated time while it is away, and then nobody gets in", async () => {
    const { clock, ask, sign, logs } = setUp();
    const token = await sign();
    expect(await ask(token)).toBe("jwt:lab:s");
    issuer.away(true);
    clock.advance(11 * MINUTE);
    expect([await ask(token), await ask(await sign(30))]).toEqual(["jwt:lab:s", "jwt:lab:s"]);
    await expect.poll(() => logs.length).toBe(1);
    clock.advance(58 * MINUTE);
    expect(await ask(token)).toBe("jwt:lab:s");
    clock.advance(2 * MINUTE);
    // One seen before is no better off.
    expect([await ask(token), await ask(await sign())]).toEqual(["issuer_unavailable", "issuer_unavailable"]);
    expect(logs).toEqual([expect.stringContaining("could not be fetched")]);
    issuer.away(false);
    clock.advance(MINUTE);
    expect([await ask(token), logs.at(-1)]).toEqual(["jwt:lab:s", expect.stringContaining("can be reached again")]);
  });

  it("that were never fetched let nobody in, and are looked for again in a moment", async () => {
    const { clock, ask, sign, looks } = setUp();
    issuer.away(true);
    const token = await sign();
    expect(await ask(token)).toBe("issuer_unavailable");
    issuer.away(false);
    const before = looks();
    expect([await ask(token), looks()]).toEqual(["issuer_unavailable", before]);
    clock.advance(11_000);
    expect(await ask(token)).toBe("jwt:lab:s");
  });

  it("that were thrown away are good no longer, as soon as the new ones are seen", async () => {
    const { clock, ask, sign } = setUp();
    const old = await sign();
    expect(await ask(old)).toBe("jwt:lab:s");
    await issuer.rotate();
    clock.advance(11_000);
    expect(await ask(old)).toBe("jwt:lab:s");
    const next = await sign();
    expect([await ask(next), await ask(old)]).toEqual(["jwt:lab:s", "invalid_token"]);
  });

  it("survive a change of the configuration that leaves their issuer as it is, though it is away", async () => {
    const { clock, ask, sign, identity, options } = setUp();
    const token = await sign();
    expect(await ask(token)).toBe("jwt:lab:s");
    issuer.away(true);
    identity.configure({ ...options, sessionMinutes: 7 });
    clock.advance(1000);
    expect([await ask(token), await ask(await sign(20))]).toEqual(["jwt:lab:s", "jwt:lab:s"]);
    identity.configure({ ...options, jwt: [] });
    expect(await ask(token)).toBe("invalid_api_key");
  });
});

describe("a token", () => {
  it("ends when it says, whoever remembers it, give or take what clocks may differ", async () => {
    const { clock, ask, sign } = setUp({ clockToleranceSeconds: 30 });
    // The first look at the record forgets everything; what is remembered after it stays.
    clock.advance(600);
    await new Promise(setImmediate);
    const token = await sign(5);
    expect(await ask(token)).toBe("jwt:lab:s");
    clock.advance(5 * MINUTE + 29_000);
    expect(await ask(token)).toBe("jwt:lab:s");
    clock.advance(2000);
    expect(await ask(token)).toBe("invalid_token");
  });

  it("of people is good for the client, and for what else the configuration names, and makes no calls", async () => {
    const { ask, identity, options, sign } = setUp();
    const oidc = { issuer: issuer.issuer, clientId: "c", audience: ["urn:admin"], roles: { map: { a: "admin" } } };
    identity.configure({ ...identityOptions.parse({ oidc }), jwt: options.jwt });
    const rolesFor = async (aud: string): Promise<unknown> =>
      identity.tokens.verify(await sign(5, { aud, groups: ["a"] }))?.then(
        (issued) => [issued.issuer, issued.roles, issued.caller?.id],
        () => "refused",
      );
    expect([await rolesFor("c"), await rolesFor("urn:admin"), await rolesFor("other")]).toEqual([
      ["oidc", ["admin"], undefined],
      ["oidc", ["admin"], undefined],
      "refused",
    ]);
    for (const [azp, says] of [
      ["c", "oidc"],
      ["another client", "refused"],
    ])
      expect(JSON.stringify(await identity.tokens.verify(await sign(5, { aud: ["c", "x"], azp }))?.catch(() => "refused"))).toContain(says);
    // The same issuer's token for services is theirs.
    expect(await rolesFor(AUDIENCE)).toEqual(["lab", [], "jwt:lab:s"]);
    expect(await ask(await sign(5, { aud: "c", groups: ["a"] }))).toBe("forbidden");
  });

  it("that is denied in one process is refused in every other within a second", async () => {
    const { clock, ask, sign, stores, node } = setUp();
    const [one, two] = [node(), node()];
    const token = await sign(600, { jti: "t" });
    expect([await ask(token, one), await ask(token, two)]).toEqual(["jwt:lab:s", "jwt:lab:s"]);
    await stores.keys.deny({ id: "deny_1", kind: "token", issuer: "lab", value: "t", author: "admin", createdAt: clock.now() });
    clock.advance(900);
    // The looks at the record that the clock has begun.
    await new Promise(setImmediate);
    expect([await ask(token, one), await ask(token, two)]).toEqual(["invalid_token", "invalid_token"]);
    await stores.keys.deny({ id: "deny_2", kind: "token", issuer: "other", value: "t", author: "admin", createdAt: clock.now() });
    await stores.keys.allow("deny_1");
    clock.advance(900);
    await new Promise(setImmediate);
    expect(await ask(token, two)).toBe("jwt:lab:s");
  });

  it("is refused while the record cannot be read, if it is not known", async () => {
    const { clock, sign, identity } = setUp();
    const stores = memoryStores(clock);
    const keys = { ...stores.keys, denials: () => Promise.reject(new ProblemError({ kind: "storage_unavailable", message: "no" })) };
    const admission = new Admission({ keys, clock, issuers: identity.tokens });
    const asked = admission.identify(snapshot, dialect, { authorization: `Bearer ${await sign()}` }, "10.0.0.1");
    await expect(asked).rejects.toMatchObject({ problem: { kind: "storage_unavailable" } });
  });
});

describe("what is no issuer", () => {
  it.each([
    [{ jwt: [{ name: "lab", issuer: "http://issuer.example", audience: "a" }] }, "jwksUri"],
    [{ jwt: [{ name: "lab", issuer: "lab", audience: "a" }] }, "jwksUri"],
    [{ jwt: [{ name: "lab", issuer: "https://a.example", audience: "a", jwksUri: "http://a.example/keys" }] }, "https://"],
    [{ jwt: [{ name: "lab", issuer: "https://a.example", audience: "a", algorithms: ["HS256"] }] }, "RS256"],
    [{ jwt: [{ name: "lab", issuer: "https://a.example", audience: "a", algorithms: ["none"] }] }, "RS256"],
    [{ jwt: [{ name: "oidc", issuer: "https://a.example", audience: "a" }] }, "people's issuer"],
    [{ jwt: [{ name: "lab", issuer: "https://a.example" }] }, "text"],
    [{ jwt: ["a", "b"].map((host) => ({ name: "lab", issuer: `https://${host}.example`, audience: "a" })) }, "same name"],
    [{ oidc: { issuer: "http://a.example", clientId: "c" } }, "https://"],
    [{ oidc: { issuer: "https://a.example", clientId: "c", roles: { map: { a: "root" } } } }, "viewer"],
    [{ sessionMinutes: 0 }, ">=1"],
  ])("is refused by the configuration: %j", (options, says) => {
    const parsed = identityOptions.safeParse(options);
    expect([parsed.success, JSON.stringify(parsed.error?.issues)]).toEqual([false, expect.stringContaining(says)]);
  });

  it("answers too much, or of another, and is not believed", async () => {
    const clock = new ManualClock(Date.now());
    const answers: Record<string, () => Response> = {};
    const away: typeof fetch = async (input) => {
      const url = input instanceof Request ? input.url : input.toString();
      return answers[new URL(url).pathname]?.() ?? new Response(null, { status: 404 });
    };
    const options = identityOptions.parse({ jwt: [{ name: "lab", issuer: "https://lab.example", audience: AUDIENCE }] });
    const logs: string[] = [];
    const { tokens } = new Identity({ clock, fetch: away, log: (line) => logs.push(line) }, options);
    const token = await issuer.sign({ iss: "https://lab.example", aud: AUDIENCE, sub: "s", exp: Math.floor(clock.now() / 1000) + 600 });
    const faultOf = async (discovery: () => Response): Promise<string> => {
      answers["/.well-known/openid-configuration"] = discovery;
      clock.advance(11_000);
      return (
        (await tokens.verify(token)?.then(
          () => "let in",
          (error: Error) => error.message,
        )) ?? ""
      );
    };
    expect(await faultOf(() => Response.json({ issuer: "https://evil.example", jwks_uri: "https://evil.example/keys" }))).toContain(
      "another issuer",
    );
    expect(await faultOf(() => Response.json({ issuer: "https://lab.example", jwks_uri: "http://lab.example/keys" }))).toContain(
      "not an https://",
    );
    expect(await faultOf(() => Response.json({ issuer: "https://lab.example", jwks_uri: "http://127.0.0.1/keys" }))).toContain(
      "not an https://",
    );
    expect(await faultOf(() => new Response("x".repeat(600_000)))).toContain("more than");
    expect(await faultOf(() => new Response(null, { status: 302, headers: { location: "https://evil.example" } }))).toContain(
      "answered 302",
    );
    expect(await faultOf(() => new Response("[]"))).toContain("JSON object");
    answers["/keys"] = () => Response.json({ keys: [{ kty: "oct", k: "c2VjcmV0", kid: "key-1" }] });
    expect(await faultOf(() => Response.json({ issuer: "https://lab.example", jwks_uri: "https://lab.example/keys" }))).toContain(
      "does not have",
    );
  });
});
