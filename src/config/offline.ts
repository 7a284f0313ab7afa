import { Secret } from "../canon/index.ts";
import { addressOf, catalogRow, isLoopbackHost, type ProviderOptions } from "../providers/index.ts";
import type { ConfigValues } from "./schema.ts";
import type { Environment, Path } from "./variables.ts";

/** One thing that would need a network. */
export interface NetworkNeed {
  readonly path: Path;
  /** What follows the path in a sentence. */
  readonly why: string;
}

/** Addresses that are only told to others, and never opened from here. */
const ONLY_TOLD = new Set(["publicUrl", "resource", "allowedOrigins", "origins"]);

/**
 * Everything in a configuration that needs more than this machine: providers elsewhere or behind a proxy, downloads, and every address
 * that is not of this machine. What cannot be told is taken to need it.
 */
export function networkNeeds(values: ConfigValues, env: Environment): readonly NetworkNeed[] {
  const needs = Object.entries(values.providers).flatMap(([name, options]) => providerNeeds(name, options, env));
  const { providers: _providers, identity, ...rest } = values;
  const issuers = identity.jwt.flatMap(({ issuer, jwksUri }, at) =>
    addressNeeds(jwksUri ?? issuer, ["identity", "jwt", at, jwksUri === undefined ? "issuer" : "jwksUri"]),
  );
  const people = addressNeeds({ ...identity, jwt: [] }, ["identity"]);
  return [...needs, ...issuers, ...people, ...addressNeeds(rest, []), ...databaseNeeds(env)];
}

function providerNeeds(name: string, options: ProviderOptions, env: Environment): readonly NetworkNeed[] {
  const path = ["providers", name];
  const row = catalogRow(options.kind ?? name);
  if (!row) return [];
  if (row.inProcess)
    return Object.entries(options.models ?? {}).flatMap(([model, own]) =>
      own.hub === undefined && own.allowDownload !== true
        ? []
        : [{ path: [...path, "models", model], why: "may be downloaded from a hub" }],
    );
  const proxied = options.proxy === undefined ? [] : [{ path: [...path, "proxy"], why: "is the address of a proxy" }];
  let host: string | undefined;
  try {
    host = new URL(addressOf(name, options, row, env).baseUrl).hostname;
  } catch {
    // Its address is not known, so nobody can say that it is here.
  }
  if (host !== undefined && isLoopbackHost(host)) return proxied;
  return [{ path, why: host === undefined ? "is not on this machine" : `is at ${host}` }, ...proxied];
}

/** Every address in a value that is not of this machine. */
function addressNeeds(value: unknown, path: Path): readonly NetworkNeed[] {
  if (value instanceof Secret) return [];
  if (typeof value === "string") {
    if (!/^(?:https?|wss?|grpcs?):\/\//i.test(value) || !URL.canParse(value)) return [];
    const { hostname } = new URL(value);
    return isLoopbackHost(hostname) ? [] : [{ path, why: `is at ${hostname}` }];
  }
  if (typeof value !== "object" || value === null) return [];
  const entries = Array.isArray(value) ? (value as readonly unknown[]).map((one, at) => [at, one] as const) : Object.entries(value);
  return entries.flatMap(([key, one]) => (ONLY_TOLD.has(String(key)) ? [] : addressNeeds(one, [...path, key])));
}

function databaseNeeds(env: Environment): readonly NetworkNeed[] {
  const url = env["GIMBAL_DATABASE_URL"];
  if (!url || !URL.canParse(url)) return [];
  const { hostname } = new URL(url);
  return hostname === "" || isLoopbackHost(hostname)
    ? []
    : [{ path: ["offline"], why: `cannot hold: GIMBAL_DATABASE_URL is at ${hostname}` }];
}
