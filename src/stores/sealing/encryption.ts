import { readFileSync } from "node:fs";
import { type KeyEncryption, ProblemError, Secret } from "../../canon/index.ts";
import { reasonOf } from "../problems.ts";
import { transitEncryption, TRANSIT } from "./vault-transit.ts";

const SCHEME_VARIABLE = "GIMBAL_KEY_ENCRYPTION";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * By whom data keys are wrapped, as the environment says: undefined where it names nobody. A key management service of another kind is
 * one more `KeyEncryption` with its name here.
 *
 * Throws `storage_unavailable` (code `data_key`) for an unknown name, or when what it needs is not set.
 */
export function keyEncryptionOf(env: Environment): KeyEncryption | undefined {
  const scheme = env[SCHEME_VARIABLE];
  if (scheme === undefined || scheme === "") return undefined;
  if (scheme !== TRANSIT) throw refusal(`${SCHEME_VARIABLE} is "${scheme}"; there is: ${TRANSIT}.`);
  const address = needed(env, "VAULT_ADDR");
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol))
    throw refusal(`VAULT_ADDR is "${address}", which is no address of a server (https://...).`);
  const namespace = env["VAULT_NAMESPACE"];
  return transitEncryption({
    address,
    token: () => tokenOf(env),
    keyName: needed(env, "GIMBAL_TRANSIT_KEY"),
    mount: env["GIMBAL_TRANSIT_MOUNT"] || "transit",
    ...(namespace && { namespace }),
    fetch,
  });
}

/** Read anew each time: an agent beside the gateway renews the file. */
function tokenOf(env: Environment): Secret {
  const file = env["VAULT_TOKEN_FILE"];
  if (file === undefined || file === "") return new Secret(needed(env, "VAULT_TOKEN"));
  try {
    return new Secret(readFileSync(file, "utf8").trim());
  } catch (error) {
    throw refusal(`${file} (VAULT_TOKEN_FILE) cannot be read: ${reasonOf(error)}.`);
  }
}

function needed(env: Environment, name: string): string {
  const value = env[name];
  if (value === undefined || value === "") throw refusal(`${SCHEME_VARIABLE} is "${TRANSIT}", which needs ${name}.`);
  return value;
}

function refusal(message: string): ProblemError {
  return new ProblemError({ kind: "storage_unavailable", message, code: "data_key" });
}
