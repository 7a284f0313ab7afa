import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ProblemError, Secret } from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import type { Environment } from "./address.ts";
import type { ProviderOptions } from "./options.ts";

/** Where a token comes from. */
export type TokenGrant =
  /** A service account signs for itself (RFC 7523). */
  | {
      readonly type: "service-account";
      readonly email: string;
      readonly key: Secret;
      readonly keyId: string | undefined;
      readonly tokenUrl: string;
    }
  /** A person who signed in with the vendor's own tools (RFC 6749, section 6). */
  | {
      readonly type: "refresh";
      readonly clientId: string;
      readonly clientSecret: Secret;
      readonly refreshToken: Secret;
      readonly tokenUrl: string;
    }
  /** The machine's own identity, asked of a server that only it can reach. */
  | { readonly type: "metadata"; readonly host: string };

/** A grant, and the project it belongs to where it says so. */
export interface Credentials {
  readonly grant: TokenGrant;
  readonly project?: string;
}

/** A file of credentials is never larger, in bytes. */
const MAX_FILE_BYTES = 64 * 1024;
const TOKEN_URL = "https://oauth2.googleapis.com/token";
const METADATA_HOST = "metadata.google.internal";

type Options = Pick<ProviderOptions, "serviceAccount" | "serviceAccountFile" | "applicationDefault" | "allowPrivateNetwork">;

/** @throws ProblemError invalid_request, with what to write into the configuration */
export function credentialsOf(name: string, options: Options, env: Environment): Credentials {
  if (options.serviceAccount) return fromText(name, "serviceAccount", options.serviceAccount.reveal(), options);
  if (options.serviceAccountFile !== undefined) return fromFile(name, options.serviceAccountFile, options);
  if (options.applicationDefault !== true)
    throw refuse(name, "needs serviceAccount, serviceAccountFile, or applicationDefault: true to use what this machine has");
  const named = env["GOOGLE_APPLICATION_CREDENTIALS"];
  if (named) return fromFile(name, named, options);
  const folder = env["CLOUDSDK_CONFIG"] ?? (env["HOME"] ? join(env["HOME"], ".config/gcloud") : undefined);
  const found = folder === undefined ? undefined : read(join(folder, "application_default_credentials.json"));
  if (found !== undefined) return fromText(name, "its application default credentials", found, options);
  return { grant: { type: "metadata", host: env["GCE_METADATA_HOST"] || METADATA_HOST } };
}

function fromFile(name: string, path: string, options: Options): Credentials {
  const text = read(path);
  if (text === undefined) throw refuse(name, `cannot read its credentials at ${path}`);
  return fromText(name, path, text, options);
}

/** Undefined when there is no such file, or it is too large to be one. */
function read(path: string): string | undefined {
  try {
    const bytes = readFileSync(path);
    return bytes.length > MAX_FILE_BYTES ? undefined : bytes.toString("utf8");
  } catch {
    return undefined;
  }
}

function fromText(name: string, what: string, text: string, options: Options): Credentials {
  const value = parseJson(text);
  const fields = typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  if (!fields) throw refuse(name, `has credentials (${what}) that are no JSON object`);
  const need = (field: string): string => {
    const found = fields[field];
    if (typeof found === "string" && found !== "") return found;
    throw refuse(name, `has credentials (${what}) without ${field}`);
  };
  const project = fields["project_id"] ?? fields["quota_project_id"];
  const tokenUrl = checkedUrl(name, typeof fields["token_uri"] === "string" ? fields["token_uri"] : TOKEN_URL, options);
  const base = typeof project === "string" ? { project } : {};
  const keyId = fields["private_key_id"];
  switch (fields["type"]) {
    case "service_account":
      return {
        ...base,
        grant: {
          type: "service-account",
          email: need("client_email"),
          key: new Secret(need("private_key")),
          keyId: typeof keyId === "string" ? keyId : undefined,
          tokenUrl,
        },
      };
    case "authorized_user":
      return {
        ...base,
        grant: {
          type: "refresh",
          clientId: need("client_id"),
          clientSecret: new Secret(need("client_secret")),
          refreshToken: new Secret(need("refresh_token")),
          tokenUrl,
        },
      };
    default:
      throw refuse(name, `has credentials (${what}) of a type that is not known: use a service account's key`);
  }
}

/** What is signed or refreshed goes there: never in the clear, unless to a server of one's own. */
function checkedUrl(name: string, text: string, options: Options): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "https:" || (url?.protocol === "http:" && options.allowPrivateNetwork === true)) return text;
  throw refuse(name, "has credentials whose token_uri is no https address");
}

export function refuse(name: string, what: string): ProblemError {
  return new ProblemError({ kind: "invalid_request", message: `The provider "${name}" ${what}.`, param: `providers.${name}` });
}
