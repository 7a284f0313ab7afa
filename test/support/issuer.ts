import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT, type JWK, type JWTPayload } from "jose";
import { Provider } from "oidc-provider";

/** A claim set by account or client id. */
type ClaimSets = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface IssuerOptions {
  /** Where browsers may be sent back to; known only once the gateway runs. */
  readonly home?: string;
  /** Claims of people by the login they type. */
  readonly people?: ClaimSets;
  /** Claims in the access tokens of clients by their id. */
  readonly services?: ClaimSets;
  /** Seconds that an access token lives. */
  readonly tokenSeconds?: number;
}

export interface TestIssuer {
  readonly issuer: string;
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[];
  /** Serves by these options from now on, with the keys it has. */
  serve(options: IssuerOptions): void;
  /** Throws its signing key away and has a new one. */
  rotate(): Promise<void>;
  /** Answers nothing but 503, until it is told otherwise. */
  away(isAway: boolean): void;
  /** By client credentials, for a resource. */
  accessToken(client: string, resource?: string): Promise<string>;
  /** A token signed with its own key, whatever it says. */
  sign(claims: JWTPayload, header?: Readonly<Record<string, string>>): Promise<string>;
  close(): Promise<void>;
}

export const CLIENT = "gimbal";
export const CLIENT_SECRET = "a secret of at least so many letters";
export const AUDIENCE = "urn:gimbal:models";

/** A whole OpenID provider on loopback: the npm package `oidc-provider`, with its own pages for signing in and consent. */
export async function startIssuer(first: IssuerOptions = {}): Promise<TestIssuer> {
  const asked: string[] = [];
  let isAway = false;
  let handler: RequestListener = (_request, response) => response.writeHead(503).end();
  const server = createServer((request, response) => {
    asked.push(request.url?.split("?")[0] ?? "");
    if (isAway) response.writeHead(503).end();
    else handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let generation = 0;
  let key = await newKey(++generation);
  let options = first;
  const serve = (): void => {
    handler = quietly(() => new Provider(issuer, configuration(options, key.jwk)).callback());
  };
  serve();
  return {
    issuer,
    asked,
    serve: (next) => {
      options = next;
      serve();
    },
    rotate: async () => {
      key = await newKey(++generation);
      serve();
    },
    away: (now) => {
      isAway = now;
    },
    accessToken: async (client, resource = AUDIENCE) => {
      const response = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: { authorization: `Basic ${Buffer.from(`${client}:${encodeURIComponent(CLIENT_SECRET)}`).toString("base64")}` },
        body: new URLSearchParams({ grant_type: "client_credentials", resource }),
      });
      const { access_token: token } = (await response.json()) as { access_token?: string };
      if (token === undefined) throw new Error(`no token: ${response.status}`);
      return token;
    },
    sign: (claims, header = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: key.jwk.kid ?? "", ...header }).sign(key.privateKey),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The provider says on the console what a development server lacks; that is meant here. */
function quietly<T>(work: () => T): T {
  const { warn, info } = console;
  console.warn = console.info = () => {};
  try {
    return work();
  } finally {
    Object.assign(console, { warn, info });
  }
}

async function newKey(generation: number): Promise<{ readonly jwk: JWK; readonly privateKey: CryptoKey }> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: `key-${generation}` } };
}

function configuration({ home, people = {}, services = {}, tokenSeconds = 300 }: IssuerOptions, key: JWK): Record<string, unknown> {
  return {
    clients: [
      {
        client_id: CLIENT,
        client_secret: CLIENT_SECRET,
        redirect_uris: [`${home ?? "http://127.0.0.1:1"}/admin/callback`],
        post_logout_redirect_uris: [`${home ?? "http://127.0.0.1:1"}/`],
      },
      ...Object.keys(services).map((id) => ({
        client_id: id,
        client_secret: CLIENT_SECRET,
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
      })),
    ],
    jwks: { keys: [key] },
    cookies: { keys: ["of the test"] },
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
    pkce: { required: () => true },
    findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: async () => ({ sub: id, ...people[id] }) }),
    extraTokenClaims: (_context: unknown, token: { readonly clientId: string }) => services[token.clientId],
    // What is said of, the provider does not remark on.
    ttl: { ClientCredentials: tokenSeconds, Interaction: 600, Session: 600, Grant: 600, AccessToken: 300, IdToken: 300 },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context: { body: unknown }, form: string) => {
          context.body = form;
        },
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context: unknown, resource: string) => ({
          scope: "",
          audience: resource,
          accessTokenTTL: tokenSeconds,
          accessTokenFormat: "jwt",
        }),
      },
    },
  };
}

/** What a browser does between addresses: follows, keeps cookies by host, fills in forms, says where it comes from. */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();

  cookies(url: string): ReadonlyMap<string, string> {
    return this.#cookies.get(new URL(url).host) ?? new Map();
  }

  setCookie(url: string, name: string, value: string): void {
    const { host } = new URL(url);
    this.#cookies.set(host, new Map(this.#cookies.get(host)).set(name, value));
  }

  /** One request, not followed. */
  async ask(url: string, init: RequestInit = {}): Promise<Response> {
    const cookie = [...this.cookies(url)].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = new Headers(init.headers);
    if (cookie !== "") headers.set("cookie", cookie);
    const response = await fetch(url, { ...init, headers, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(";");
      const [name = "", ...value] = pair.split("=");
      const isGone = attributes.some((attribute) => /^\s*(max-age=0|expires=thu, 01 jan 1970)/i.test(attribute));
      this.setCookie(url, name.trim(), value.join("="));
      if (isGone) this.#cookies.get(new URL(url).host)?.delete(name.trim());
    }
    return response;
  }

  /** Follows until something else than a redirect comes, or an address that `until` knows. */
  async follow(url: string, until: (url: string) => boolean = () => false): Promise<{ readonly url: string; readonly response: Response }> {
    let at = url;
    for (let hops = 0; hops < 20; hops++) {
      const response = await this.ask(at);
      const location = response.headers.get("location");
      if (location === null) return { url: at, response };
      at = new URL(location, at).href;
      if (until(at)) return { url: at, response };
    }
    throw new Error(`too many redirects, last to ${at}`);
  }

  /** Signs in at the provider and agrees to whatever it asks, from the gateway's address on; ends where the provider sends it back to. */
  async signInAtProvider(start: string, login: string): Promise<string> {
    const isBack = (url: string): boolean => url.includes("/admin/callback");
    let { url, response } = await this.follow(start, isBack);
    while (!isBack(url)) {
      const page = await response.text();
      const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1];
      if (action === undefined) throw new Error(`no form at ${url}: ${page.slice(0, 300)}`);
      const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1] ?? "";
      const sent = await this.ask(action, { method: "POST", body: new URLSearchParams({ prompt, login, password: "any" }) });
      ({ url, response } = await this.follow(new URL(sent.headers.get("location") ?? "", action).href, isBack));
    }
    return url;
  }
}
