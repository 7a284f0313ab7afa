import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { Browser, CLIENT, CLIENT_SECRET, startIssuer, type TestIssuer } from "../support/issuer.ts";

let issuer: TestIssuer;
let gateway: TestGateway;

const PEOPLE = {
  ada: { preferred_username: "Ada", groups: ["gimbal-admins", "others"] },
  dev: { preferred_username: "Dev", groups: ["builders"] },
  both: { preferred_username: "Both", groups: ["builders", "deciders"] },
  guest: { preferred_username: "Guest", groups: ["others"] },
};

const configOf = (extra = ""): string => `models: { fast: sim/echo }
identity:
  sessionMinutes: 30
  oidc:
    issuer: ${issuer.issuer}
    clientId: ${CLIENT}
    clientSecret: ${CLIENT_SECRET}
    roles: { claim: groups, map: { gimbal-admins: admin, builders: developer, deciders: approver } }
${extra}`;

beforeAll(async () => {
  issuer = await startIssuer();
  gateway = await startGateway({ config: configOf() });
  issuer.serve({ home: gateway.url, people: PEOPLE });
});
afterAll(async () => {
  await gateway.close();
  await issuer.close();
});

/** A browser in which somebody has signed in. */
async function signedIn(login: string, path = ""): Promise<{ browser: Browser; landed: Response }> {
  const browser = new Browser();
  const back = await browser.signInAtProvider(`${gateway.url}/admin/sign-in${path}`, login);
  return { browser, landed: await browser.ask(back) };
}
async function api(
  browser: Browser,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: unknown,
): Promise<[number, Record<string, unknown>]> {
  const response = await browser.ask(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return [response.status, (await response.json()) as Record<string, unknown>];
}
const own = (): Record<string, string> => ({ origin: gateway.url, "sec-fetch-site": "same-origin" });
const audit = async (query: string): Promise<{ action: string; actor: string; outcome: string; details?: Record<string, unknown> }[]> => {
  const response = await fetch(`${gateway.url}/admin/api/audit?${query}`, {
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
  });
  return ((await response.json()) as { entries: { action: string; actor: string; outcome: string }[] }).entries;
};

describe("people", () => {
  it("sign in at their provider, and have the roles that their groups give them", async () => {
    const { browser, landed } = await signedIn("ada", "?return=/audit%3Fpage=2");
    expect([landed.status, landed.headers.get("location")]).toEqual([303, "/audit?page=2"]);
    const cookie = landed.headers.getSetCookie().find((line) => line.startsWith("gimbal_session="));
    expect(cookie).toMatch(/; Path=\/; Max-Age=(1799|1800); HttpOnly; SameSite=Lax$/);
    expect(await api(browser, "GET", "/session")).toEqual([
      200,
      { actor: "oidc:ada", roles: ["admin"], by: "session", name: "Ada", expiresAt: expect.any(Number) },
    ]);
    expect((await api(browser, "POST", "/keys", own(), { name: "made by ada" }))[0]).toBe(201);
    const { browser: builder } = await signedIn("dev");
    expect((await api(builder, "GET", "/ledger"))[0]).toBe(200);
    expect((await api(builder, "GET", "/audit"))[0]).toBe(403);
    expect((await api(builder, "POST", "/keys", own(), { name: "no" }))[0]).toBe(403);
    const { browser: two } = await signedIn("both");
    expect((await api(two, "GET", "/audit"))[0]).toBe(200);
    expect((await api(two, "GET", "/ledger"))[0]).toBe(200);
    expect((await api(two, "POST", "/keys", own(), { name: "no" }))[1]).toMatchObject({
      error: { message: "The role developer and approver may not POST /admin/api/keys." },
    });
    expect(await audit("actor=oidc:ada")).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ action: "admin.sign-in", outcome: "done", details: expect.objectContaining({ roles: ["admin"] }) }),
        expect.objectContaining({ action: "key.create", details: expect.objectContaining({ role: "admin" }) }),
      ]),
    );
    expect(await audit("actor=oidc:dev")).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ action: "admin.refused", outcome: "refused", details: expect.objectContaining({ role: "developer" }) }),
      ]),
    );
  });

  it("without a role are told so, and nobody is signed in", async () => {
    const { browser, landed } = await signedIn("guest");
    expect([landed.status, await landed.text()]).toEqual([403, expect.stringContaining("gives you a role")]);
    expect(browser.cookies(gateway.url).has("gimbal_session")).toBe(false);
    expect((await api(browser, "GET", "/session"))[0]).toBe(401);
    expect(await audit("actor=oidc:guest")).toMatchObject([
      { action: "admin.sign-in", outcome: "refused", details: { problem: "no role" } },
    ]);
  });

  it("who do not agree at their provider come back with nothing", async () => {
    const browser = new Browser();
    const { url, response } = await browser.follow(`${gateway.url}/admin/sign-in`);
    const abort = /href="([^"]+abort)"/.exec(await response.text())?.[1] ?? "";
    const { url: back } = await browser.follow(new URL(abort, url).href, (at) => at.includes("/admin/callback"));
    const landed = await browser.ask(back);
    expect([landed.status, await landed.text()]).toEqual([401, expect.stringContaining("access_denied")]);
  });

  it("sign out here and at their provider, and what they had is worth nothing in any browser", async () => {
    const { browser } = await signedIn("ada");
    const stolen = browser.cookies(gateway.url).get("gimbal_session") ?? "";
    for (const headers of [{}, { origin: "https://evil.example" }, { ...own(), "sec-fetch-site": "cross-site" }])
      expect((await browser.ask(`${gateway.url}/admin/sign-out`, { method: "POST", headers })).status).toBe(403);
    expect((await api(browser, "GET", "/session"))[0]).toBe(200);
    const out = await browser.ask(`${gateway.url}/admin/sign-out`, { method: "POST", headers: own() });
    const there = new URL(out.headers.get("location") ?? "");
    expect([out.status, there.origin, there.pathname]).toEqual([303, issuer.issuer, "/session/end"]);
    expect(there.searchParams.get("post_logout_redirect_uri")).toBe(`${gateway.url}/`);
    expect(there.searchParams.get("id_token_hint")).toMatch(/^eyJ/);
    expect((await browser.ask(there.href)).status).toBe(200);
    expect(browser.cookies(gateway.url).has("gimbal_session")).toBe(false);
    const thief = new Browser();
    thief.setCookie(gateway.url, "gimbal_session", stolen);
    expect((await api(thief, "GET", "/session"))[0]).toBe(401);
    expect((await browser.ask(`${gateway.url}/admin/sign-out`)).status).toBe(405);
  });

  it("are shut out at once when they are denied, wherever they are signed in", async () => {
    const [one, two] = [await signedIn("dev"), await signedIn("dev")];
    const { browser: admin } = await signedIn("ada");
    const [, session] = await api(admin, "GET", "/audit?actor=oidc:dev&action=admin.sign-in");
    const { entries } = session as { entries: { subject: string }[] };
    await api(admin, "POST", "/denials", own(), { issuer: "oidc", session: entries[0]?.subject.slice("session:".length) });
    expect([(await api(one.browser, "GET", "/session"))[0], (await api(two.browser, "GET", "/session"))[0]]).toEqual([200, 401]);
    const [, denial] = await api(admin, "POST", "/denials", own(), { issuer: "oidc", subject: "dev" });
    expect((await api(one.browser, "GET", "/session"))[0]).toBe(401);
    const again = await signedIn("dev");
    expect([again.landed.status, await again.landed.text()]).toEqual([403, expect.stringContaining("any more")]);
    expect((await api(admin, "DELETE", `/denials/${String(denial["id"])}`, own()))[0]).toBe(200);
    expect((await signedIn("dev")).landed.status).toBe(303);
  });

  it("use the command line with the ID token of their provider, for as long as that is good", async () => {
    const claims = { iss: issuer.issuer, aud: CLIENT, sub: "dev", exp: Math.floor(Date.now() / 1000) + 60, groups: ["builders"] };
    const ask = async (token: string, path = "/session"): Promise<readonly [number, unknown]> => {
      const response = await fetch(`${gateway.url}/admin/api${path}`, { headers: { authorization: `Bearer ${token}` } });
      return [response.status, await response.json()];
    };
    const token = await issuer.sign(claims);
    expect(await ask(token)).toMatchObject([200, { actor: "oidc:dev", roles: ["developer"], by: "token" }]);
    expect((await ask(token, "/audit"))[0]).toBe(403);
    expect((await ask(await issuer.sign({ ...claims, groups: ["others"] })))[0]).toBe(403);
    expect((await ask(await issuer.sign({ ...claims, aud: "another client" })))[0]).toBe(401);
    expect((await ask(await issuer.sign({ ...claims, exp: claims.exp - 120 })))[0]).toBe(401);
    const call = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ model: "fast", messages: [{ role: "user", content: "hello" }] }),
    });
    expect([call.status, await call.text()]).toEqual([403, expect.stringContaining("sign people in")]);
  });
});

describe("a browser that is signed in", () => {
  it("changes something only for a page of this gateway", async () => {
    const { browser } = await signedIn("ada");
    const cases: [headers: Record<string, string>, status: number][] = [
      [own(), 201],
      [{ origin: gateway.url }, 201],
      [{ "sec-fetch-site": "same-origin" }, 201],
      [{}, 403],
      [{ "sec-fetch-site": "none" }, 403],
      [{ "sec-fetch-site": "same-site", origin: gateway.url }, 403],
      [{ "sec-fetch-site": "cross-site", origin: "https://evil.example" }, 403],
      [{ origin: "https://evil.example" }, 403],
      [{ origin: "null" }, 403],
      [{ origin: `${gateway.url}.evil.example` }, 403],
    ];
    for (const [headers, status] of cases)
      expect([headers, (await api(browser, "POST", "/keys", headers, { name: "x" }))[0]]).toEqual([headers, status]);
    expect((await api(browser, "GET", "/keys"))[0]).toBe(200);
  });

  it("is believed only what was sealed here, for this host, and has not been changed", async () => {
    const { browser } = await signedIn("ada");
    const cookie = browser.cookies(gateway.url).get("gimbal_session") ?? "";
    const status = async (value: string, headers: Record<string, string> = {}): Promise<number> => {
      const { request } = await import("node:http");
      const { port, pathname } = new URL(`${gateway.url}/admin/api/session`);
      // Fetch would not let anybody choose `host`.
      return new Promise((resolve, reject) => {
        request({ host: "127.0.0.1", port, path: pathname, headers: { cookie: value, ...headers } }, (response) =>
          resolve(response.resume().statusCode ?? 0),
        )
          .on("error", reject)
          .end();
      });
    };
    expect(await status(`gimbal_session=${cookie}`)).toBe(200);
    expect(await status(`a=b; gimbal_session=${cookie}; c=d`)).toBe(200);
    expect(await status(`gimbal_session=${cookie}`, { host: `localhost:${new URL(gateway.url).port}` })).toBe(401);
    expect(await status(`gimbal_session=${cookie}`, { host: "gimbal.example" })).toBe(401);
    expect(await status(`gimbal_session=${cookie}; gimbal_session=${cookie}`)).toBe(401);
    const other = cookie.at(-5) === "A" ? "B" : "A";
    expect(await status(`gimbal_session=${cookie.slice(0, -5)}${other}${cookie.slice(-4)}`)).toBe(401);
    expect(await status("gimbal_session=anything")).toBe(401);
    // Whoever plants a session before the sign-in has not got the one after it.
    const victim = new Browser();
    victim.setCookie(gateway.url, "gimbal_session", "planted");
    await victim.ask(await victim.signInAtProvider(`${gateway.url}/admin/sign-in`, "dev"));
    expect(victim.cookies(gateway.url).get("gimbal_session")).not.toBe("planted");
    // An attempt's cookie is no session, nor the other way round.
    const attempt = victim.cookies(gateway.url).get("gimbal_sign_in") ?? "";
    expect(await status(`gimbal_session=${attempt}`)).toBe(401);
  });

  it("says who it is by `authorization` where it has that too", async () => {
    const { browser } = await signedIn("ada");
    expect((await api(browser, "GET", "/keys", { authorization: "Bearer wrong" }))[0]).toBe(401);
    const viewer = await gateway.key({ name: "viewer", surfaces: ["admin"], role: "viewer" });
    expect((await api(browser, "POST", "/keys", { ...own(), authorization: `Bearer ${viewer}` }, { name: "x" }))[0]).toBe(403);
  });
});

describe("the way back from the provider", () => {
  it("is open once, for the browser that began, with what it was given", async () => {
    const browser = new Browser();
    const back = await browser.signInAtProvider(`${gateway.url}/admin/sign-in`, "ada");
    const stranger = new Browser();
    expect((await stranger.ask(back)).status).toBe(401);
    const other = new URL(back);
    other.searchParams.set("state", "another");
    expect((await browser.ask(other.href)).status).toBe(401);
    // The same state of another attempt's browser: a sign-in that somebody else means for this person.
    await stranger.follow(`${gateway.url}/admin/sign-in`);
    expect((await stranger.ask(back)).status).toBe(401);
    const attempt = browser.cookies(gateway.url).get("gimbal_sign_in") ?? "";
    expect((await browser.ask(back)).status).toBe(303);
    const again = new Browser();
    again.setCookie(gateway.url, "gimbal_sign_in", attempt);
    const exchanges = issuer.asked.filter((path) => path === "/token").length;
    expect((await again.ask(back)).status).toBe(401);
    // The provider would refuse the code too, and is not asked.
    expect(issuer.asked.filter((path) => path === "/token")).toHaveLength(exchanges);
    expect(again.cookies(gateway.url).has("gimbal_session")).toBe(false);
  });

  it("is closed to another issuer's answer, and to one without an issuer", async () => {
    for (const iss of ["https://evil.example", undefined]) {
      const browser = new Browser();
      const back = new URL(await browser.signInAtProvider(`${gateway.url}/admin/sign-in`, "ada"));
      if (iss === undefined) back.searchParams.delete("iss");
      else back.searchParams.set("iss", iss);
      const landed = await browser.ask(back.href);
      expect([landed.status, await landed.text()]).toEqual([401, expect.stringContaining("did not vouch")]);
    }
  });

  it("leads to a place of this gateway, whatever was asked for", async () => {
    for (const wanted of [
      "https://evil.example/",
      "//evil.example",
      "/\\evil.example",
      "\\\\evil",
      "/%0d%0aSet-Cookie: a=b",
      "javascript:alert(1)",
      "/a/..//evil.example",
      "keys",
      "",
    ]) {
      const { landed } = await signedIn("dev", `?return=${encodeURIComponent(wanted)}`);
      const location = landed.headers.get("location") ?? "";
      expect([wanted, new URL(location, gateway.url).origin, location.startsWith("//")]).toEqual([wanted, gateway.url, false]);
    }
    expect((await signedIn("dev", "?return=%2Fkeys%23one")).landed.headers.get("location")).toBe("/keys#one");
  });

  it("asks the provider with PKCE, state and nonce, for the scopes of the configuration", async () => {
    const answer = await new Browser().ask(`${gateway.url}/admin/sign-in`);
    const url = new URL(answer.headers.get("location") ?? "");
    const { code_challenge: challenge, state, nonce, ...rest } = Object.fromEntries(url.searchParams);
    expect([challenge?.length, (state?.length ?? 0) > 40, (nonce?.length ?? 0) > 40]).toEqual([43, true, true]);
    expect(rest).toEqual({
      client_id: CLIENT,
      redirect_uri: `${gateway.url}/admin/callback`,
      response_type: "code",
      scope: "openid profile email",
      code_challenge_method: "S256",
    });
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const sealed = answer.headers.getSetCookie()[0] ?? "";
    expect(sealed).toMatch(/^gimbal_sign_in=[\w.-]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/);
    expect(sealed).not.toContain(state);
  });
});

describe("where sign-in is set up otherwise", () => {
  it("without `identity.oidc` nobody can, and says so", async () => {
    const plain = await startGateway({ config: "models: { fast: sim/echo }\n" });
    try {
      for (const [method, path] of [
        ["GET", "/admin/sign-in"],
        ["GET", "/admin/callback?code=a&state=b"],
        ["POST", "/admin/sign-out"],
      ] as const) {
        const response = await fetch(plain.url + path, { method });
        expect([response.status, await response.text()]).toEqual([404, expect.stringContaining("identity.oidc")]);
      }
    } finally {
      await plain.close();
    }
  });

  it("behind TLS cookies are for TLS and this host alone, and the way back is the public one", async () => {
    const secure = await startGateway({ config: configOf("    publicUrl: https://gimbal.example/base/\n") });
    try {
      const answer = await fetch(`${secure.url}/admin/sign-in`, { redirect: "manual" });
      expect(new URL(answer.headers.get("location") ?? "").searchParams.get("redirect_uri")).toBe(
        "https://gimbal.example/base/admin/callback",
      );
      expect(answer.headers.getSetCookie()[0]).toMatch(
        /^__Host-gimbal_sign_in=[^;]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/,
      );
      const refused = await fetch(`${secure.url}/admin/callback?code=a&state=b`);
      expect([refused.status, await refused.text()]).toEqual([401, expect.stringContaining('<a href="/base/admin/sign-in">')]);
      expect(secure.house.peopleAt()).toBe("https://gimbal.example/base/admin/sign-in");
    } finally {
      await secure.close();
    }
  });

  it("a provider that is away is named, and asked again later", async () => {
    const other = await startIssuer();
    other.away(true);
    const lonely = await startGateway({ config: configOf().replace(issuer.issuer, other.issuer) });
    try {
      const response = await fetch(`${lonely.url}/admin/sign-in`, { redirect: "manual" });
      expect([response.status, await response.text()]).toEqual([502, expect.stringContaining("cannot be asked now")]);
      const asked = other.asked.length;
      await Promise.all(
        Array.from({ length: 20 }, async () => (await fetch(`${lonely.url}/admin/sign-in`, { redirect: "manual" })).arrayBuffer()),
      );
      expect(other.asked).toHaveLength(asked);
    } finally {
      await lonely.close();
      await other.close();
    }
  });
});
