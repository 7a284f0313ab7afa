import { createReadStream, existsSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { ChainVerifier, exportHead, readVerifierKey, verifyExport, type Verdict, type VerifierKey } from "../ledger/audit/index.ts";
import { allCheckpoints, allEntries, onAudit, type AuditSource } from "./audit-source.ts";
import { CommandError, DONE, FAILED, table, UsageError, wholeNumber, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { CONFIG_FLAG, DATA_FLAG } from "./settings.ts";

const LISTED = 20;
const MOST_LISTED = 1000;
const OWNER_ONLY = 0o600;
/** Entries between two words on how far it is. */
const PROGRESS = 50_000;

const list: Command = {
  name: "audit list",
  summary: "List the newest entries of the audit: who did what.",
  operands: [],
  flags: {
    limit: { value: "N", meaning: `How many, up to ${MOST_LISTED}. Default: ${LISTED}.` },
    ...CONFIG_FLAG,
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const limit = wholeNumber(input, "limit", 1, MOST_LISTED) ?? LISTED;
    const entries = await onAudit(input, deps, (source) => source.newest({ limit: String(limit) }));
    const rows = entries.map((entry) => [
      String(entry.sequence),
      new Date(entry.at).toISOString().slice(0, 19),
      entry.actor,
      entry.action,
      entry.subject,
      entry.outcome,
    ]);
    if (input.json) deps.out(`${JSON.stringify({ entries })}\n`);
    else if (rows.length === 0) deps.out("The audit is empty.\n");
    else deps.out(`${table(["NO", "TIME", "ACTOR", "ACTION", "SUBJECT", "OUTCOME"], rows)}\n`);
    return DONE;
  },
};

const checkpoint: Command = {
  name: "audit checkpoint",
  summary: "Sign what the audit holds now, and print the checkpoint: keep it elsewhere.",
  operands: [],
  flags: { ...CONFIG_FLAG, ...DATA_FLAG },
  async run(input, deps) {
    const { size, at, note } = await onAudit(input, deps, (source) => source.checkpoint());
    deps.out(input.json ? `${JSON.stringify({ size, at, note })}\n` : note);
    return DONE;
  },
};

const key: Command = {
  name: "audit key",
  summary: "Print the public key by which checkpoints are verified.",
  operands: [],
  flags: { ...CONFIG_FLAG, ...DATA_FLAG },
  async run(input, deps) {
    const found = await onAudit(input, deps, (source) => source.key(true));
    if (!found) throw new CommandError("The gateway names no key that can be read.");
    deps.out(input.json ? `${JSON.stringify({ name: found.name, id: found.id, key: found.text })}\n` : `${found.text}\n`);
    return DONE;
  },
};

const exportCommand: Command = {
  name: "audit export",
  summary: "Sign a checkpoint and write the whole audit up to it, as JSON lines.",
  operands: [],
  flags: { out: { value: "FILE", meaning: "Where to; it must not exist. Default: standard output." }, ...CONFIG_FLAG, ...DATA_FLAG },
  async run(input, deps) {
    const out = input.text("out");
    const file = out === undefined ? undefined : resolve(deps.cwd, out);
    if (file !== undefined && existsSync(file)) throw new CommandError(`${file} exists already.`);
    const told = await onAudit(input, deps, (source) =>
      file === undefined ? writeTo(source, (text) => deps.out(text), deps) : writeFileOf(source, file, deps),
    );
    if (file !== undefined) deps.out(input.json ? `${JSON.stringify({ file, ...told })}\n` : `${told.entries} entries are in ${file}.\n`);
    return DONE;
  },
};

interface Written {
  readonly entries: number;
  readonly checkpoints: number;
}

async function writeFileOf(source: AuditSource, file: string, deps: CliDeps): Promise<Written> {
  const handle = await open(file, "wx", OWNER_ONLY).catch((error: unknown) => {
    throw new CommandError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}.`);
  });
  try {
    return await writeTo(source, (text) => handle.write(text), deps);
  } finally {
    await handle.close();
  }
}

async function writeTo(source: AuditSource, write: (text: string) => unknown, deps: CliDeps): Promise<Written> {
  const { size } = await source.checkpoint();
  const signer = await source.key(false);
  const checkpoints = (await allCheckpoints(source)).filter((one) => one.size <= size).map(({ note }) => note);
  await write(exportHead(signer?.text ?? "", checkpoints));
  let entries = 0;
  for await (const { text } of allEntries(source, size)) {
    await write(`${text}\n`);
    if (++entries % PROGRESS === 0) deps.err(`${entries} of ${size} entries.\n`);
  }
  return { entries, checkpoints: checkpoints.length };
}

const verify: Command = {
  name: "audit verify",
  summary: "Find out whether the audit was edited, shortened or reordered; exit code 1 says that it was.",
  operands: [],
  flags: {
    file: { value: "FILE", meaning: "An export, instead of the data folder or its gateway." },
    key: {
      value: "KEY",
      meaning: "Public key (NAME+ID+BASE64), or a file that holds it. Default: of the data folder or the gateway; of an export, its own.",
    },
    checkpoint: { value: "FILE", meaning: "A checkpoint that was kept elsewhere: the audit must go on from it." },
    ...CONFIG_FLAG,
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const given = keyGiven(input, deps);
    const kept = checkpointGiven(input, deps);
    const file = input.text("file");
    const verdict =
      file === undefined
        ? await onAudit(input, deps, (source) => verifySource(source, given, kept, deps))
        : await verifyFile(file, given, kept, deps);
    if (input.json) deps.out(`${JSON.stringify(verdict)}\n`);
    else say(verdict, deps);
    return verdict.ok ? DONE : FAILED;
  },
};

export const AUDIT_COMMANDS: readonly Command[] = [list, verify, checkpoint, exportCommand, key];

async function verifySource(source: AuditSource, given: VerifierKey | undefined, kept: readonly string[], deps: CliDeps): Promise<Verdict> {
  const checkpoints = await allCheckpoints(source);
  const verifier = new ChainVerifier(given ?? (await source.key(false)), [...checkpoints.map(({ note }) => note), ...kept]);
  let read = 0;
  for await (const { text, ...place } of allEntries(source)) {
    verifier.add(text, place);
    if (++read % PROGRESS === 0) deps.err(`${read} entries read.\n`);
  }
  return verifier.end();
}

async function verifyFile(file: string, given: VerifierKey | undefined, kept: readonly string[], deps: CliDeps): Promise<Verdict> {
  const path = resolve(deps.cwd, file);
  if (!existsSync(path)) throw new UsageError(`There is no file ${path}.`);
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  try {
    const verdict = await verifyExport(lines, given, kept);
    if (!verdict.keyGiven)
      deps.err(
        "It is checked with the key that it names itself: whoever wrote the file chose it. --key NAME+ID+BASE64 names the right one.\n",
      );
    return verdict;
  } catch (error) {
    throw new CommandError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function say({ ok, entries, signed, fault }: Verdict, deps: CliDeps): void {
  if (!ok) return deps.err(`The audit does not hold. ${fault?.message ?? ""}\n`);
  const rest = entries - signed;
  const unsigned = rest === 0 ? "" : ` ${rest} since the newest checkpoint are chained and not signed yet.`;
  deps.out(`The audit holds: ${entries} entries, ${signed} of them vouched for by a checkpoint.${unsigned}\n`);
}

/** @throws UsageError */
function keyGiven(input: Input, deps: CliDeps): VerifierKey | undefined {
  const text = input.text("key");
  if (text === undefined) return undefined;
  const found = readVerifierKey(text) ?? readVerifierKey(textOf(text, deps) ?? "");
  if (!found) throw new UsageError("--key is a public key (NAME+ID+BASE64), or a file that holds one; `gimbal audit key` prints it.");
  return found;
}

/** @throws UsageError */
function checkpointGiven(input: Input, deps: CliDeps): readonly string[] {
  const file = input.text("checkpoint");
  if (file === undefined) return [];
  const text = textOf(file, deps);
  if (text === undefined) throw new UsageError(`There is no file ${resolve(deps.cwd, file)}.`);
  return [text];
}

function textOf(file: string, deps: CliDeps): string | undefined {
  try {
    return readFileSync(resolve(deps.cwd, file), "utf8");
  } catch {
    return undefined;
  }
}
