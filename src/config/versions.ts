import { createTwoFilesPatch } from "diff";
import type { ConfigStore, ConfigVersion, Json, JsonObject } from "../canon/index.ts";
import { ConfigDocument } from "./document.ts";
import { maskSecrets } from "./secrets.ts";

/** Author of versions that came from the file itself. */
export const FILE_AUTHOR = "file";

/** Versions looked back over to find the newest that came from the file. */
const LOOKED_BACK = 1000;

/** Lines of context around a change. */
const CONTEXT_LINES = 3;

/**
 * What the file and the record together put in force at a start. A version that was made by an administrator stays, as long as the file
 * has not changed since; a changed file wins.
 */
export async function versionAtStart(
  store: ConfigStore,
  fileText: string,
  now: number,
): Promise<{ readonly version: ConfigVersion; readonly kept: boolean }> {
  const [newest] = await store.list(1);
  const fromFile = await newestFromFile(store);
  if (newest && newest.version !== fromFile?.version && fromFile?.text === fileText) return { version: newest, kept: true };
  return { version: await store.append({ createdAt: now, author: FILE_AUTHOR, text: fileText }), kept: false };
}

/** Undefined when none of the latest versions came from the file. */
export async function newestFromFile(store: ConfigStore): Promise<ConfigVersion | undefined> {
  return (await store.list(LOOKED_BACK)).find(({ author }) => author === FILE_AUTHOR);
}

/** What changed from one version to the next as a unified diff; keys that were written out are masked. Empty: nothing did. */
export function diffVersions(before: ConfigVersion | undefined, after: ConfigVersion): string {
  const old = before ? maskSecrets(before.text) : "";
  const text = maskSecrets(after.text);
  if (before && old === text && before.text !== after.text) return "Only a key that stands in the file itself has changed.\n";
  if (old === text) return "";
  return createTwoFilesPatch(`version ${before?.version ?? 0}`, `version ${after.version}`, old, text, undefined, undefined, {
    context: CONTEXT_LINES,
  });
}

/** Versions looked back over for the one that began a canary. */
const CANARY_VERSIONS = 100;

/**
 * Since when a model has tried out the targets that its canary has now, whatever its percentage was: milliseconds since 1970. Undefined
 * while it has no canary.
 */
export async function canarySince(store: ConfigStore, name: string): Promise<number | undefined> {
  let since: number | undefined;
  let targets: string | undefined;
  for (const { text, createdAt } of await store.list(CANARY_VERSIONS)) {
    const canary = memberOf(memberOf(memberOf(new ConfigDocument(text).value, "models"), name), "canary");
    if (canary === undefined) break;
    const said = JSON.stringify(memberOf(canary, "targets") ?? [memberOf(canary, "target")]);
    if (said !== (targets ??= said)) break;
    since = createdAt;
  }
  return since;
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject && Object.hasOwn(value, name) ? (value as JsonObject)[name] : undefined;
}
