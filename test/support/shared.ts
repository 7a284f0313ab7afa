import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The folder of recordings and captures beside the checkout, which are never committed. Undefined when it is absent. */
export const sharedFolder: string | undefined = [process.env["GIMBAL_SHARED"], join(import.meta.dirname, "../../../shared")].find(
  (path) => path !== undefined && existsSync(join(path, "data")),
);

let said = false;

/** Path below `shared/data`, or undefined (said once on standard error, so that a skipped suite is never silent). */
export function sharedData(path: string): string | undefined {
  if (sharedFolder) return join(sharedFolder, "data", path);
  if (!said) {
    said = true;
    process.stderr.write("The recordings in ../shared are absent: tests that need them are skipped.\n");
  }
  return undefined;
}

export interface Interaction {
  readonly request: { readonly method: string; readonly path: string; readonly headers: Record<string, string>; readonly body: unknown };
  readonly response: { readonly status: number; readonly headers: Record<string, string>; readonly json?: unknown; readonly sse?: string };
}

/** The request and response pairs of an `exchange` or `exchange-stream` file. */
export function readInteractions(file: string): readonly Interaction[] {
  return (JSON.parse(readRecording(file)) as { interactions: Interaction[] }).interactions;
}

interface ManifestEntry {
  readonly provider: string;
  readonly file: string;
  readonly kind: string;
}

/** The manifest's entries of some providers and kinds. */
export function recordings(providers: readonly string[], kinds: readonly string[]): readonly ManifestEntry[] {
  const manifest = sharedData("recordings/MANIFEST.json");
  if (!manifest) return [];
  const entries = JSON.parse(readFileSync(manifest, "utf8")) as ManifestEntry[];
  return entries.filter((entry) => providers.includes(entry.provider) && kinds.includes(entry.kind));
}

export function readRecording(file: string): string {
  const path = sharedData(join("recordings", file));
  if (!path) throw new Error("recordings are absent");
  return readFileSync(path, "utf8");
}

/** Folder names below `shared/data/captures`. */
export function captureFolders(): readonly string[] {
  const folder = sharedData("captures");
  return folder
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name)
    : [];
}
