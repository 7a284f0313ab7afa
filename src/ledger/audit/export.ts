import { parseEntry } from "./entry.ts";
import { readVerifierKey, type VerifierKey } from "./signed-note.ts";
import { ChainVerifier, type Verdict } from "./verify.ts";

/** The first line of an export says what it is. */
const FORMAT = "gimbal-audit";
const VERSION = 1;

interface Header {
  readonly format: typeof FORMAT;
  readonly version: number;
  /** The verifier key, for convenience: whoever checks against fraud brings their own. */
  readonly key: string;
  /** How many lines with checkpoints follow; then come the entries, one a line, each as the text that its hash is of. */
  readonly checkpoints: number;
}

/** The lines before the entries, each with its line end. */
export function exportHead(key: string, checkpoints: readonly string[]): string {
  const header: Header = { format: FORMAT, version: VERSION, key, checkpoints: checkpoints.length };
  return [header, ...checkpoints.map((checkpoint) => ({ checkpoint }))].map((line) => `${JSON.stringify(line)}\n`).join("");
}

export interface FileVerdict extends Verdict {
  /** The verifier key it was checked with. */
  readonly key: string;
  /** False: the key was the file's own, which proves nothing against whoever wrote the file. */
  readonly keyGiven: boolean;
}

/**
 * Verifies an export by itself.
 * @param given the verifier key, if the reader has one
 * @param kept checkpoints kept elsewhere
 * @throws Error when it is no export at all, in a sentence
 */
export async function verifyExport(
  lines: AsyncIterable<string>,
  given: VerifierKey | undefined,
  kept: readonly string[],
): Promise<FileVerdict> {
  let header: Header | undefined;
  let verifier: ChainVerifier | undefined;
  let key: VerifierKey | undefined;
  const checkpoints: string[] = [];
  const begin = (): ChainVerifier => {
    if (!key) throw new Error("It is no export of an audit: its first line does not say so.");
    return new ChainVerifier(key, [...checkpoints, ...kept]);
  };
  for await (const line of lines) {
    if (!header) {
      header = headerOf(line);
      key = given ?? readVerifierKey(header.key);
      if (!key) throw new Error("The key in its first line is no verifier key; name the right one.");
    } else if (checkpoints.length < header.checkpoints) checkpoints.push(checkpointOf(line));
    else (verifier ??= begin()).add(line);
  }
  const verdict = (verifier ?? begin()).end();
  return { ...verdict, key: key?.text ?? "", keyGiven: given !== undefined };
}

function headerOf(line: string): Header {
  const { format, version, key, checkpoints } = (objectOf(line) ?? {}) as Partial<Header>;
  if (format !== FORMAT || typeof key !== "string" || typeof checkpoints !== "number" || !Number.isSafeInteger(checkpoints))
    throw new Error("It is no export of an audit: its first line does not say so.");
  if (version !== VERSION) throw new Error(`It is an export of version ${String(version)}; this program reads version ${VERSION}.`);
  return { format, version, key, checkpoints };
}

/** A line that is none counts as a checkpoint that nobody signed. */
function checkpointOf(line: string): string {
  const { checkpoint } = (objectOf(line) ?? {}) as { checkpoint?: unknown };
  if (typeof checkpoint === "string") return checkpoint;
  if (parseEntry(line)) throw new Error("It holds fewer checkpoints than its first line says.");
  return "";
}

function objectOf(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
