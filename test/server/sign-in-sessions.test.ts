import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Headers, Role } from "../../src/canon/index.ts";
import { identityOptions, type IdentityOptions, type PeopleOptions } from "../../src/gateway/identity-options.ts";
import { ManualClock, systemClock, SystemRandomness } from "../../src/kit/index.ts";
import { Router } from "../../src/server/router.ts";
import { Identity, mountSignIn, Sessions, type SignInRoutesDeps } from "../../src/server/sign-in/index.ts";
import { placeOf } from "../../src/server/sign-in/origin.ts";
import { openDataSeal } from "../../src/stores/index.ts";
import type { FrontOut, FrontRequest } from "../../src/wire/types.ts";
import { temporaryFolder } from "../stores/folders.ts";
import { CLIENT, startIssuer, type TestIssuer } from "../support/issuer.ts";

const HOST = "127.0.0.1:4100";
const MINUTE = 60_000;

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await startIssuer();
});
afterAll(() => issuer.close());

async function setUp() {
  const clock = new ManualClock(Date.now());
  const seal = await openDataSeal({ env: {}, clock: systemClock, folder: temporaryFolder() });
  const roles = { claim: "groups", map: { a: "admin" } as Record<string, Role> };
  let options: IdentityOptions = identityOptions.parse({ sessionMinutes: 30, oidc: { issuer: issuer.issuer, clientId: CLIENT, roles } });
  const denied = new Set<string>();
  const isDenied = async ({ session, subject }: { session?: string | undefined; subject: string }): Promise<boolean> =>
    denied.has(session ?? "") || denied.has(subject);
  const sessions = new Sessions({ clock, seal, identity: () => options, isDenied });
  const oidc = (): PeopleOptions => options.oidc ?? identityOptions.parse({}).oidc ?? never();
  const begin = (more: object = {}): Headers => {
    const place = placeOf(undefined, { host: HOST }) ?? never();
    const session = { id: "ses_1", subject: "ada", name: "Ada", roles: ["admin"] as const, expiresAt: clock.now() + 30 * MINUTE, ...more };
    return { host: HOST, cookie: sessions.begin(oidc(), place, session).split(";")[0] };
  };
  const configure = (change: (oidc: PeopleOptions) => object): void => {
    options = { ...options, oidc: { ...oidc(), ...change(oidc()) } };
  };
  return { clock, seal, sessions, denied, begin, configure, isDenied, options: () => options };
}
function never(): never {
  throw new Error("cannot be");
}

describe("a session", () => {
  it("ends when it says, whatever the browser keeps", async () => {
    const { clock, sessions, begin } = await setUp();
    const headers = begin();
    expect(await sessions.read(headers)).toMatchObject({ subject: "ada", roles: ["admin"] });
    clock.advance(30 * MINUTE - 1);
    expect(await sessions.read(headers)).toBeDefined();
    clock.advance(1);
    expect(await sessions.read(headers)).toBeUndefined();
  });

  it("ends with the configuration that gave it its roles", async () => {
    const { sessions, begin, configure } = await setUp();
    const headers = begin();
    configure(() => ({ nameClaim: "email" }));
    expect(await sessions.read(headers)).toBeDefined();
    configure(({ roles }) => ({ roles: { ...roles, map: { a: "viewer" } } }));
    expect(await sessions.read(headers)).toBeUndefined();
    const again = begin();
    expect(await sessions.read(again)).toBeDefined();
    configure(() => ({ issuer: "https://other.example" }));
    expect(await sessions.read(again)).toBeUndefined();
  });

  it("is another gateway's no more than nobody's", async () => {
    const [one, two] = [await setUp(), await setUp()];
    expect(await two.sessions.read(one.begin())).toBeUndefined();
  });

  it("is denied by its own id and by its person's", async () => {
    const { sessions, begin, denied } = await setUp();
    const [first, second] = [begin(), begin({ id: "ses_2" })];
    denied.add("ses_1");
    expect([await sessions.read(first), (await sessions.read(second))?.id]).toEqual([undefined, "ses_2"]);
    denied.add("ada");
    expect(await sessions.read(second)).toBeUndefined();
  });

  it("fits in a cookie, though the ID token does not", async () => {
    const { sessions, begin } = await setUp();
    const short = begin({ idToken: "x".repeat(1000) });
    const long = begin({ idToken: "x".repeat(5000) });
    expect((long["cookie"]?.length ?? 0) < 1000 && (short["cookie"]?.length ?? 0) > 1000).toBe(true);
    expect([(await sessions.read(short))?.idToken?.length, (await sessions.read(long))?.idToken]).toEqual([1000, undefined]);
    expect((await sessions.read(long))?.subject).toBe("ada");
  });
});

describe("an attempt to sign in", () => {
  it("is over after ten minutes", async () => {
    const { clock, seal, sessions, isDenied, options } = await setUp();
    const { people, tokens } = new Identity({ clock, fetch, log: () => {} }, options());
    const router = new Router();
    const refusals: number[] = [];
    const deps: SignInRoutesDeps = {
      identity: options,
      people,
      tokens,
      sessions,
      seal,
      clock,
      randomness: new SystemRandomness(),
      isDenied,
      revoke: never,
      note: never,
      refused: () => refusals.push(clock.now()),
      report: never,
    };
    mountSignIn(router, deps);
    const ask = (path: string, query = "", cookie = ""): Promise<{ headers: Readonly<Record<string, string>>; body: string }> =>
      new Promise((resolve) => {
        const match = router.match("GET", path);
        const out = {
          whole: (_status: number, headers: Record<string, string>, body: string) => resolve({ headers, body }),
        } as unknown as FrontOut;
        const request = { method: "GET", path, query, headers: { host: HOST, cookie }, peer: "127.0.0.1" } as unknown as FrontRequest;
        if (match.kind === "found") match.handler(request, out, {});
      });
    const begun = async (): Promise<readonly [query: string, cookie: string]> => {
      const { headers } = await ask("/admin/sign-in");
      const state = new URL(headers["location"] ?? "").searchParams.get("state") ?? "";
      const iss = encodeURIComponent(issuer.issuer);
      return [`code=none&state=${state}&iss=${iss}`, headers["set-cookie"]?.split(";")[0] ?? ""];
    };
    const [early, late] = [await begun(), await begun()];
    clock.advance(10 * MINUTE);
    // In time, and with a code that the provider never gave.
    expect((await ask("/admin/callback", ...early)).body).toContain("did not vouch");
    clock.advance(1);
    expect((await ask("/admin/callback", ...late)).body).toContain("took too long");
    expect(refusals).toHaveLength(2);
  });
});
