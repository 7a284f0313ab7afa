import { hash } from "node:crypto";
import type { Clock, Headers, Role } from "../../canon/index.ts";
import { PEOPLE, type IdentityOptions, type PeopleOptions } from "../../gateway/identity-options.ts";
import type { Vouched } from "../../gateway/standing.ts";
import { parseJson } from "../../kit/index.ts";
import { cookieOf, isOwnPage, placeOf, setCookie, type Place } from "./origin.ts";

const MS_PER_SECOND = 1000;
/** Letters of a cookie with its name; browsers drop larger ones. Source: RFC 6265, section 6.1. */
const COOKIE_LETTERS = 4000;
const READING: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Seals what browsers keep, with the data folder's key or the shared one: every process of this gateway can open it, nobody else. */
export interface CookieSeal {
  seal(text: string, identity: readonly string[]): string;
  openFresh(token: string, identity: readonly string[]): Promise<string | undefined>;
}

/** Somebody signed in. The browser keeps it, sealed; what was revoked is known by its id. */
export interface Session {
  readonly id: string;
  readonly subject: string;
  readonly name: string;
  readonly roles: readonly Role[];
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** For signing out at the issuer; absent where it would not fit in a cookie. */
  readonly idToken?: string;
}

/** A session with where it belongs. */
interface Kept extends Session {
  /** A cookie of another host is none of this one's. */
  readonly origin: string;
  /** Of another configuration of people's issuer and their roles: they sign in again. */
  readonly policy: string;
}

export interface SessionDeps {
  readonly clock: Clock;
  readonly seal: CookieSeal;
  readonly identity: () => IdentityOptions;
  readonly isDenied: (vouched: Vouched) => Promise<boolean>;
}

export class Sessions {
  readonly #deps: SessionDeps;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  /** Who is signed in in the browser that sends this. Undefined: nobody, or nobody any more. Rejects when the record cannot be read. */
  async read(headers: Headers): Promise<Session | undefined> {
    const { clock, seal, identity, isDenied } = this.#deps;
    const { oidc } = identity();
    const place = oidc && placeOf(oidc.publicUrl, headers);
    if (!place) return undefined;
    const text = await seal.openFresh(cookieOf(headers, nameOf(place)) ?? "", IDENTITY);
    const kept = text === undefined ? undefined : (parseJson(text) as unknown as Kept | undefined);
    if (!kept || kept.origin !== place.origin || kept.policy !== policyOf(oidc) || kept.expiresAt <= clock.now()) return undefined;
    if (await isDenied({ issuer: PEOPLE, subject: kept.subject, session: kept.id })) return undefined;
    return kept;
  }

  /** May the request do this in the name of whoever is signed in? What changes something must come from a page of this gateway. */
  mayAct(method: string, headers: Headers): boolean {
    if (READING.has(method)) return true;
    const place = placeOf(this.#deps.identity().oidc?.publicUrl, headers);
    return place !== undefined && isOwnPage(headers, place.origin);
  }

  /** The `set-cookie` of a session that begins. */
  begin(oidc: PeopleOptions, place: Place, session: Session): string {
    const { seal, clock } = this.#deps;
    const seconds = Math.floor((session.expiresAt - clock.now()) / MS_PER_SECOND);
    const cookie = (kept: Session): string => {
      const sealed = seal.seal(JSON.stringify({ ...kept, origin: place.origin, policy: policyOf(oidc) }), IDENTITY);
      return setCookie(nameOf(place), "/", place.secure, sealed, seconds);
    };
    const whole = cookie(session);
    if (whole.length <= COOKIE_LETTERS) return whole;
    const { idToken: _idToken, ...rest } = session;
    return cookie(rest);
  }

  /** The `set-cookie` that ends it in the browser. */
  end(place: Place): string {
    return setCookie(nameOf(place), "/", place.secure);
  }
}

const IDENTITY = ["sign-in", "session"] as const;

/** With `__Host-` no other host, and no page without TLS, can set it. Source: RFC 6265bis, section 4.1.3.2. */
function nameOf({ secure }: Place): string {
  return secure ? "__Host-gimbal_session" : "gimbal_session";
}

function policyOf({ issuer, clientId, roles }: PeopleOptions): string {
  return hash("sha256", JSON.stringify([issuer, clientId, roles]), "base64url");
}
