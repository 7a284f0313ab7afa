import type { Headers } from "../../canon/index.ts";
import { isLoopback, type IdentityOptions } from "../../gateway/identity-options.ts";

/** How browsers reach this gateway. */
export interface Place {
  /** With the path before the gateway's own, without a slash at the end: `https://gimbal.example`. */
  readonly base: string;
  readonly origin: string;
  /** Are cookies for TLS only? */
  readonly secure: boolean;
}

/** As the configuration says, else this machine where the request came to it by a name of its own. Undefined: nobody knows. */
export function placeOf(publicUrl: string | undefined, headers: Headers): Place | undefined {
  if (publicUrl !== undefined) {
    const { origin, protocol } = new URL(publicUrl);
    return { base: publicUrl.replace(/\/+$/, ""), origin, secure: protocol === "https:" };
  }
  const { host } = headers;
  const url = host === undefined || /[^\w.:[\]-]/.test(host) || !URL.canParse(`http://${host}`) ? undefined : new URL(`http://${host}`);
  return url && isLoopback(url.hostname) ? { base: url.origin, origin: url.origin, secure: false } : undefined;
}

export const SIGN_IN_PATH = "/admin/sign-in";

/** Where people begin to sign in; `url`: this gateway as it listens. Undefined: they cannot. */
export function peopleAt({ oidc }: Pick<IdentityOptions, "oidc">, url: string): string | undefined {
  return oidc && `${(oidc.publicUrl ?? url).replace(/\/+$/, "")}${SIGN_IN_PATH}`;
}

/** Did a page of this origin send it? Browsers say so of every request that changes something; whoever says nothing is none of ours. */
export function isOwnPage(headers: Headers, origin: string): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin") return false;
  const from = headers["origin"];
  return from === undefined ? site === "same-origin" : from === origin;
}

/** A path of this gateway to go on to; everything else is another's, and becomes `otherwise`. */
export function ownPath(wanted: string | undefined, origin: string, otherwise: string): string {
  if (wanted === undefined || wanted.length > PATH_LETTERS || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(wanted)) return otherwise;
  const url = URL.canParse(wanted, origin) ? new URL(wanted, origin) : undefined;
  return url?.origin === origin && !url.pathname.startsWith("//") ? url.pathname + url.search + url.hash : otherwise;
}
const PATH_LETTERS = 1000;

/** The value of a cookie. One that comes twice is none: somebody else may have set the other. */
export function cookieOf(headers: Headers, name: string): string | undefined {
  const values = (headers["cookie"] ?? "").split(/[;,]/).flatMap((pair) => {
    const [key = "", ...value] = pair.split("=");
    return key.trim() === name ? [value.join("=").trim()] : [];
  });
  return values.length === 1 ? values[0] : undefined;
}

/** A `set-cookie`; without a value it takes the cookie back. `seconds`: how long the browser keeps it. */
export function setCookie(name: string, path: string, secure: boolean, value = "", seconds = 0): string {
  return `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;
}
