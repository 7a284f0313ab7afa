import { ProblemError, problemFrom, problemStatus, type AuditEvent, type Clock, type Headers, type Randomness } from "../../canon/index.ts";
import { PEOPLE, type IdentityOptions, type PeopleOptions } from "../../gateway/identity-options.ts";
import type { Issuers } from "../../gateway/issuers.ts";
import { parseJson } from "../../kit/index.ts";
import type { FrontOut, FrontRequest } from "../../wire/types.ts";
import { queryParams, type Router } from "../router.ts";
import { readClaim, rolesOf } from "./claims.ts";
import { cookieOf, isOwnPage, ownPath, placeOf, setCookie, SIGN_IN_PATH, type Place } from "./origin.ts";
import { messagePage, PAGE_HEADERS } from "./page.ts";
import type { Attempt, People, SignedIn } from "./people.ts";
import type { CookieSeal, Session, Sessions } from "./sessions.ts";

const CALLBACK_PATH = "/admin/callback";
const SIGN_OUT_PATH = "/admin/sign-out";
/** How long somebody may take at the provider. */
const ATTEMPT_MS = 600_000;
/** Attempts that came back within that time; more are not told from ones that come back twice, and begin anew. */
const MOST_ATTEMPTS = 10_000;
const NAME_LETTERS = 200;
const MS_PER_SECOND = 1000;
const MS_PER_MINUTE = 60_000;

export interface SignInRoutesDeps {
  readonly identity: () => IdentityOptions;
  readonly people: People;
  readonly tokens: Issuers;
  readonly sessions: Sessions;
  readonly seal: CookieSeal;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly isDenied: (who: { readonly issuer: string; readonly subject: string }) => Promise<boolean>;
  /** Ends a session in every process. */
  readonly revoke: (session: Session) => Promise<void>;
  /** Resolves when it is durable; nobody is signed in without it. */
  readonly note: (event: AuditEvent) => Promise<unknown>;
  /** Told of everybody who was not let in and whose name nobody knows. */
  readonly refused: () => void;
  readonly report: (error: unknown) => void;
}

/** What the browser keeps of an attempt, sealed. */
interface KeptAttempt extends Attempt {
  readonly origin: string;
  readonly back: string;
  readonly at: number;
}

/** `/admin/sign-in`, `/admin/callback`, `/admin/sign-out`: people sign in at their provider. */
export function mountSignIn(router: Router, deps: SignInRoutesDeps): void {
  const back = new CameBack(deps.clock);
  const page =
    (work: (request: FrontRequest, options: PeopleOptions, place: Place) => Promise<Answer>) =>
    (request: FrontRequest, out: FrontOut): void => {
      const answer = async (): Promise<Answer> => {
        const { oidc } = deps.identity();
        if (!oidc)
          throw new ProblemError({ kind: "not_found", message: "Nobody can sign in here: the configuration has no `identity.oidc`." });
        const place = placeOf(oidc.publicUrl, request.headers);
        if (place) return work(request, oidc, place);
        throw new ProblemError({
          kind: "invalid_request",
          message: "The configuration does not say how browsers reach this gateway: set `identity.oidc.publicUrl`.",
        });
      };
      void answer()
        .catch((error: unknown) => failed(deps, error, request.headers))
        .then(({ status, headers = {}, body = "" }) => out.whole(status, { ...PAGE_HEADERS, ...headers }, body));
    };
  router.add(
    "GET",
    SIGN_IN_PATH,
    page(async (request, oidc, place) => begin(deps, request, oidc, place)),
  );
  router.add(
    "GET",
    CALLBACK_PATH,
    page(async (request, oidc, place) => finish(deps, back, request, oidc, place)),
  );
  router.add(
    "POST",
    SIGN_OUT_PATH,
    page(async (request, oidc, place) => end(deps, request, oidc, place)),
  );
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

function redirect(location: string, cookie?: string): Answer {
  return { status: 303, headers: { location, ...(cookie !== undefined && { "set-cookie": cookie }) } };
}

async function begin(deps: SignInRoutesDeps, { query }: FrontRequest, oidc: PeopleOptions, place: Place): Promise<Answer> {
  const { people, seal, clock, identity } = deps;
  const { url, attempt } = await people
    .begin(oidc, identity().clockToleranceSeconds, place.base + CALLBACK_PATH)
    .catch((error: unknown) => {
      throw away(oidc, error);
    });
  const back = ownPath(queryParams(query)["return"], place.origin, `${new URL(place.base).pathname.replace(/\/$/, "")}/`);
  const kept: KeptAttempt = { ...attempt, origin: place.origin, back, at: clock.now() };
  const sealed = seal.seal(JSON.stringify(kept), IDENTITY);
  return redirect(url.href, setCookie(cookieName(place), "/", place.secure, sealed, ATTEMPT_MS / MS_PER_SECOND));
}

async function finish(deps: SignInRoutesDeps, back: CameBack, request: FrontRequest, oidc: PeopleOptions, place: Place): Promise<Answer> {
  const { people, identity, sessions, clock, randomness, note } = deps;
  const attempt = await attemptOf(deps, request.headers, place);
  const { state } = queryParams(request.query);
  if (!attempt || state !== attempt.state || !back.first(attempt.state)) throw stale();
  const answer = new URL(`${place.base}${CALLBACK_PATH}?${request.query}`);
  const signedIn = await people.finish(oidc, identity().clockToleranceSeconds, answer, attempt).catch((error: unknown) => {
    throw notVouched(oidc, error);
  });
  const roles = await rolesAt(deps, oidc, signedIn);
  const { subject, idToken, claims } = signedIn;
  const called = readClaim(claims, oidc.nameClaim);
  const session: Session = {
    id: randomness.id("ses_"),
    subject,
    name: typeof called === "string" && called !== "" ? called.slice(0, NAME_LETTERS) : subject,
    roles,
    expiresAt: clock.now() + identity().sessionMinutes * MS_PER_MINUTE,
    idToken,
  };
  await note({
    action: "admin.sign-in",
    subject: `session:${session.id}`,
    actor: `${PEOPLE}:${subject}`,
    details: { issuer: oidc.issuer, roles: [...roles], expiresAt: session.expiresAt },
  });
  return redirect(attempt.back, sessions.begin(oidc, place, session));
}

/** What somebody may do here, once their ID token was checked against their provider's keys. @throws ProblemError unauthenticated, forbidden */
async function rolesAt(deps: SignInRoutesDeps, oidc: PeopleOptions, { idToken, subject, claims }: SignedIn): Promise<Session["roles"]> {
  const issued = await deps.tokens.verify(idToken);
  if (issued?.subject !== subject) throw new ProblemError({ kind: "unauthenticated", message: "The ID token is of somebody else." });
  const roles = rolesOf(oidc.roles, claims);
  const denied = await deps.isDenied({ issuer: PEOPLE, subject });
  if (!denied && roles.length > 0) return roles;
  const problem = denied ? "denied" : "no role";
  await deps.note({
    action: "admin.sign-in",
    subject: "admin API",
    actor: `${PEOPLE}:${subject}`,
    outcome: "refused",
    details: { issuer: oidc.issuer, problem },
  });
  throw new ProblemError({
    kind: "forbidden",
    message: denied
      ? "You may not sign in to this gateway any more."
      : `You have signed in, but nothing in your claim \`${oidc.roles.claim}\` gives you a role here. Ask an administrator for one.`,
    code: REFUSED_BY_NAME,
  });
}
const REFUSED_BY_NAME = "no_role";

async function end(deps: SignInRoutesDeps, { headers }: FrontRequest, oidc: PeopleOptions, place: Place): Promise<Answer> {
  if (!isOwnPage(headers, place.origin))
    throw new ProblemError({ kind: "forbidden", message: "Only a page of this gateway can sign you out.", code: "foreign_origin" });
  const session = await deps.sessions.read(headers);
  if (session) {
    await deps.revoke(session);
    await deps.note({ action: "admin.sign-out", subject: `session:${session.id}`, actor: `${PEOPLE}:${session.subject}` });
  }
  const home = `${place.base}/`;
  const { clockToleranceSeconds } = deps.identity();
  const there = oidc.signOutAtIssuer ? await deps.people.signOutUrl(oidc, clockToleranceSeconds, home, session?.idToken) : undefined;
  return redirect(there?.href ?? home, deps.sessions.end(place));
}

/** What a callback brings is good once. Other processes of this gateway are told apart by the provider: no code is exchanged twice. */
class CameBack {
  readonly #clock: Clock;
  readonly #seen = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  first(state: string): boolean {
    const now = this.#clock.monotonic();
    for (const [old, at] of this.#seen) {
      if (now - at <= ATTEMPT_MS && this.#seen.size < MOST_ATTEMPTS) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(state)) return false;
    this.#seen.set(state, now);
    return true;
  }
}

async function attemptOf({ seal, clock }: SignInRoutesDeps, headers: Headers, place: Place): Promise<KeptAttempt | undefined> {
  const text = await seal.openFresh(cookieOf(headers, cookieName(place)) ?? "", IDENTITY);
  const kept = text === undefined ? undefined : (parseJson(text) as unknown as KeptAttempt | undefined);
  const age = kept ? clock.now() - kept.at : 0;
  return kept?.origin === place.origin && age >= 0 && age <= ATTEMPT_MS ? kept : undefined;
}

const IDENTITY = ["sign-in", "attempt"] as const;

function cookieName({ secure }: Place): string {
  return secure ? "__Host-gimbal_sign_in" : "gimbal_sign_in";
}

function stale(): ProblemError {
  return new ProblemError({
    kind: "unauthenticated",
    message: "This sign-in was not begun in this browser, took too long, or is over already. Begin again.",
    code: "stale_sign_in",
  });
}

function away({ issuer }: PeopleOptions, error: unknown): ProblemError {
  return new ProblemError(
    { kind: "upstream_unavailable", message: `The provider ${issuer} cannot be asked now: ${wordsOf(error)}.` },
    { cause: error },
  );
}

function notVouched({ issuer }: PeopleOptions, error: unknown): ProblemError {
  return new ProblemError(
    { kind: "unauthenticated", message: `The provider ${issuer} did not vouch for you: ${wordsOf(error)}.`, code: "not_vouched" },
    { cause: error },
  );
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "error" in error && typeof error.error === "string" ? error.error : undefined;
  return (code ?? error.message).slice(0, NAME_LETTERS);
}

/** With the path that stands before the gateway's own, where there is one. */
function signInLink({ oidc }: IdentityOptions, headers: Headers): string {
  const place = placeOf(oidc?.publicUrl, headers);
  return place ? new URL(place.base + SIGN_IN_PATH).pathname : SIGN_IN_PATH;
}

/** For a person in a browser. Whoever was refused by name is noted already. */
function failed({ identity, refused, report }: SignInRoutesDeps, error: unknown, headers: Headers): Answer {
  const problem = problemFrom(error);
  if (problem.kind === "internal") report(error);
  if (problem.kind === "unauthenticated") refused();
  return {
    status: problemStatus(problem),
    headers: { "x-gimbal-problem": problem.kind },
    body: messagePage(problem.message, problem.kind === "not_found" ? undefined : signInLink(identity(), headers)),
  };
}
