import { existsSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { CommandError, DONE, UsageError, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { download } from "./download.ts";
import { pullIntoServer } from "./models-pull-server.ts";
import { progressBar } from "./progress.ts";
import { CONFIG_FLAG, DATA_FLAG, dataFolderOf } from "./settings.ts";

const MIB = 1024 * 1024;

const pullCommand: Command = {
  name: "models pull",
  summary: "Fetch a model's file by its address, or a model into its server; a run that was cut is gone on with.",
  operands: ["URL|PROVIDER/MODEL"],
  flags: {
    ...DATA_FLAG,
    ...CONFIG_FLAG,
    to: { value: "PATH", meaning: "File or folder to put it in; default: `models` in the data folder, under its own name." },
    sha256: { value: "HEX", meaning: "Its checksum; anything else is thrown away." },
    "allow-private-network": { meaning: "It may be on this machine or in a private network, also without TLS." },
  },
  async run(input, deps) {
    const [named = ""] = input.operands;
    if (!named.includes("://")) return pullIntoServer(named, input, deps);
    const url = addressOf(input);
    const sha256 = checksumOf(input);
    const to = placeOf(input, url, deps);
    if (existsSync(to)) throw new CommandError(`${to} is there already; remove it, or name another with --to.`);
    const bar = progressBar(input, deps);
    const found = await download({
      url,
      to,
      sha256,
      allowPrivateNetwork: input.has("allow-private-network"),
      clock: deps.clock,
      isRunning: (pid) => deps.isRunning(pid),
      onProgress: (done, total) => bar.draw(done, total),
    }).finally(() => bar.end());
    if (input.json) deps.out(`${JSON.stringify({ path: to, ...found })}\n`);
    else
      deps.out(`${to}\n${(found.bytes / MIB).toFixed(1)} MiB, SHA-256 ${found.sha256}${sha256 === undefined ? " (not compared)" : ""}\n`);
    return DONE;
  },
};

function addressOf(input: Input): URL {
  const text = input.operands[0] ?? "";
  if (!URL.canParse(text)) throw new UsageError(`"${text}" is no URL.`);
  const url = new URL(text);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && input.has("allow-private-network")))
    throw new UsageError("A model is fetched over https://; http:// is for private networks, with --allow-private-network.");
  if (url.username !== "" || url.password !== "") throw new UsageError("The URL holds a user or a password, which is refused.");
  return url;
}

function checksumOf(input: Input): string | undefined {
  const text = input.text("sha256")?.toLowerCase();
  if (text !== undefined && !/^[0-9a-f]{64}$/.test(text)) throw new UsageError("--sha256 has 64 hexadecimal digits.");
  return text;
}

function placeOf(input: Input, url: URL, deps: CliDeps): string {
  const name = nameIn(url);
  const named = input.text("to");
  const place = named === undefined ? join(dataFolderOf(input, deps), "models") : resolve(deps.cwd, named);
  const isFolder = named === undefined || named.endsWith("/") || (existsSync(place) && statSync(place).isDirectory());
  // Neither a folder above nor anything hidden: what an address says is somebody else's word.
  if (isFolder && !/^[\w][\w.+-]*$/.test(name)) throw new UsageError("The URL ends in no file name; name one with --to.");
  return isFolder ? join(place, name) : place;
}

/** What the address calls the file; empty where that cannot be read. */
function nameIn({ pathname }: URL): string {
  try {
    return basename(decodeURIComponent(pathname));
  } catch {
    return "";
  }
}

export const PULL_COMMANDS: readonly Command[] = [pullCommand];
