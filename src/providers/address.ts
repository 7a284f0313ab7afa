import { ProblemError } from "../canon/index.ts";
import { isLoopbackHost } from "./loopback.ts";
import type { CatalogRow } from "./catalog.ts";
import type { ProviderOptions } from "./options.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a provider answers, and whether its host may be private. */
export interface Address {
  /** Without a trailing slash. */
  readonly baseUrl: string;
  readonly host: string;
  /** Did the address come from the catalogue? Only then is a key taken from the environment. */
  readonly own: boolean;
  readonly allowPrivateNetwork: boolean;
}

/** @throws ProblemError invalid_request, with what to write into the configuration */
export function addressOf(name: string, options: ProviderOptions, row: CatalogRow, env: Environment): Address {
  const own = options.baseUrl === undefined;
  const text = options.baseUrl ?? fromEnvironment(row, env) ?? (row.baseUrl === undefined ? undefined : expand(name, row.baseUrl, env));
  if (text === undefined)
    throw refuse(name, `needs a baseUrl${row.baseUrlEnvironment ? `, or ${row.baseUrlEnvironment.join(" or ")} in the environment` : ""}`);
  if (!URL.canParse(text)) throw refuse(name, "has a baseUrl that is no URL");
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw refuse(name, "has a baseUrl that is neither https nor http");
  if (url.username || url.password || url.search || url.hash)
    throw refuse(name, "has a baseUrl with a user, password, query or fragment; use apiKey and headers");
  const loopback = isLoopbackHost(url.hostname);
  const allowPrivateNetwork = options.allowPrivateNetwork ?? (row.localPort !== undefined && loopback);
  if (url.protocol === "http:" && !allowPrivateNetwork) {
    throw refuse(name, `would send its key in the clear to ${url.host}: use https, or allowPrivateNetwork: true for a server of your own`);
  }
  const path =
    options.apiVersion !== undefined && row.dated !== undefined ? bare(url.pathname) : joined(bare(url.pathname), row.versionPath);
  return { baseUrl: url.origin + path, host: url.host, own, allowPrivateNetwork };
}

function fromEnvironment(row: CatalogRow, env: Environment): string | undefined {
  for (const variable of row.baseUrlEnvironment ?? []) if (env[variable]) return env[variable];
  return undefined;
}

function expand(name: string, template: string, env: Environment): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, variable: string) => {
    const value = env[variable];
    if (!value) throw refuse(name, `needs ${variable} in the environment, or a baseUrl that holds it`);
    return encodeURIComponent(value);
  });
}

function bare(path: string): string {
  return path.replace(/\/+$/, "");
}

/** Adds the version's path unless the base already ends with it, or with its beginning. */
function joined(path: string, versionPath: string | undefined): string {
  if (versionPath === undefined || /\/v\d+\w*$/.test(path)) return path;
  for (let length = versionPath.length; length > 0; length--) {
    if (path.endsWith(versionPath.slice(0, length))) return path + versionPath.slice(length);
  }
  return path + versionPath;
}

function refuse(name: string, what: string): ProblemError {
  return new ProblemError({ kind: "invalid_request", message: `The provider "${name}" ${what}.`, param: `providers.${name}` });
}
