import { createHash, hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock, Headers, Problem } from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import { connect } from "../wire/client.ts";
import type { ClientHandle, HttpClient } from "../wire/types.ts";
import { CommandError } from "./command.ts";

const MOST_REDIRECTS = 5;
/** Bytes that may wait for the disk before the connection is paused. */
const MOST_WAITING = 8 * 1024 * 1024;
/** Room that is left on the disk for everything else. */
const SPARE_BYTES = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
const TIMEOUT_MS = 60_000;

export interface Download {
  readonly url: URL;
  /** Where the whole file will be. */
  readonly to: string;
  /** Lower-case hexadecimal digits. */
  readonly sha256?: string | undefined;
  readonly allowPrivateNetwork: boolean;
  readonly clock: Clock;
  /** Is there a process of this number? */
  readonly isRunning: (pid: number) => boolean;
  /** `total` where the server says it. */
  onProgress(done: number, total: number | undefined): void;
}

export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  /** Bytes that were there from a run before. */
  readonly resumed: number;
}

/** What is kept beside a part, so that only the same file is gone on with. */
interface PartNote {
  readonly url: string;
  /** `etag` or `last-modified`, for `if-range`. */
  readonly validator: string;
}

/**
 * Fetches a file; what a run before left is gone on from (RFC 9110, sections 13.1.5 and 14). The file appears only when it is whole and
 * its checksum fits. @throws CommandError, with what to do
 */
export async function download(wanted: Download): Promise<Downloaded> {
  const { to } = wanted;
  await mkdir(dirname(to), { recursive: true });
  const part = `${to}.part`;
  const letGo = await hold(`${part}.lock`, to, wanted.isRunning);
  try {
    return await fetchInto(wanted, part);
  } finally {
    await letGo();
  }
}

/**
 * Two runs that wrote into one part would mix it. One that was killed leaves its lock behind, with the number of a process that is gone.
 * @throws CommandError somebody holds it
 */
async function hold(lock: string, to: string, isRunning: Download["isRunning"]): Promise<() => Promise<void>> {
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(lock, String(process.pid), { flag: "wx", mode: 0o600 });
      return () => rm(lock, { force: true });
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw unwritable(error, to);
    }
    const holder = Number(await readFile(lock, "utf8").catch(() => ""));
    if (tries > 0 || (holder > 0 && isRunning(holder))) throw new CommandError(`Another run fetches ${to} already (process ${holder}).`);
    await rm(lock, { force: true });
  }
}

async function fetchInto(wanted: Download, part: string): Promise<Downloaded> {
  const { to, sha256 } = wanted;
  const note = `${part}.json`;
  const from = await begunBefore(part, note, wanted.url);
  const resumed = await receive(wanted, part, note, from);
  const actual = await sha256Of(part);
  if (sha256 !== undefined && actual !== sha256) {
    await Promise.all([rm(part, { force: true }), rm(note, { force: true })]);
    throw new CommandError(`What ${wanted.url.host} sent has the SHA-256 ${actual}, not ${sha256}; it was thrown away.`);
  }
  const { size } = await stat(part);
  await rename(part, to);
  await rm(note, { force: true });
  return { bytes: size, sha256: actual, resumed };
}

interface Begun extends PartNote {
  readonly bytes: number;
}

async function begunBefore(part: string, note: string, url: URL): Promise<Begun | undefined> {
  try {
    const kept = parseJson(await readFile(note, "utf8")) as Partial<PartNote> | undefined;
    const { size } = await stat(part);
    if (size === 0 || kept?.url !== nameOf(url) || typeof kept.validator !== "string") return undefined;
    return { url: kept.url, validator: kept.validator, bytes: size };
  } catch {
    return undefined;
  }
}

/** An address may hold a token, so only its hash is written down. */
function nameOf(url: URL): string {
  return hash("sha256", url.href, "hex");
}

/** Receives into the part; returns how many bytes of it were there before. */
async function receive(wanted: Download, part: string, note: string, from: Begun | undefined): Promise<number> {
  let url = wanted.url;
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    const client = connect({
      baseUrl: url.origin,
      allowPrivateNetwork: wanted.allowPrivateNetwork,
      connectTimeoutMs: TIMEOUT_MS,
      headTimeoutMs: TIMEOUT_MS,
      dataTimeoutMs: TIMEOUT_MS,
      maxConnections: 1,
      maxHeaderBytes: 64 * 1024,
      clock: wanted.clock,
    });
    try {
      const outcome = await new Transfer(client, url, wanted, part, note, from).run();
      if (typeof outcome === "number") return outcome;
      url = redirected(url, outcome.location);
    } finally {
      await client.close();
    }
  }
  throw new CommandError(`${wanted.url.host} redirects more than ${MOST_REDIRECTS} times.`);
}

/** @throws CommandError it leads out of TLS, or nowhere */
export function redirected(from: URL, location: string): URL {
  if (!URL.canParse(location, from)) throw new CommandError(`${from.host} redirects to something that is no address.`);
  const url = new URL(location, from);
  if (url.protocol !== "https:" && url.protocol !== from.protocol)
    throw new CommandError(`${from.host} redirects to ${url.protocol}//, which is refused.`);
  return url;
}

/** One request and its body on the way to the disk. */
class Transfer {
  readonly #parts: { client: HttpClient; url: URL; wanted: Download; part: string; note: string; from: Begun | undefined };
  #file: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();
  #waiting = 0;
  #done = 0;
  #resumed = 0;
  #total: number | undefined;

  constructor(client: HttpClient, url: URL, wanted: Download, part: string, note: string, from: Begun | undefined) {
    this.#parts = { client, url, wanted, part, note, from };
  }

  async run(): Promise<number | { readonly location: string }> {
    const { client, url, from, wanted } = this.#parts;
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly location: string } | undefined>();
    const headers = {
      accept: "*/*",
      "accept-encoding": "identity",
      ...(from && { range: `bytes=${from.bytes}-`, "if-range": from.validator }),
    };
    const fail = (error: unknown): void => {
      handle.cancel();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const handle = client.open(
      { method: "GET", path: url.pathname + url.search, headers },
      {
        onHead: (status, received) => {
          const location = received["location"];
          if (status >= 300 && status < 400 && location !== undefined) {
            handle.cancel();
            return resolve({ location });
          }
          this.#writing = this.#begin(status, received);
          this.#writing.catch(fail);
        },
        onData: (chunk) => {
          this.#waiting += chunk.length;
          this.#writing = this.#writing.then(() => this.#write(chunk, handle));
          this.#writing.catch(fail);
          return this.#waiting < MOST_WAITING;
        },
        onEnd: () => void this.#writing.then(() => resolve(undefined), reject),
        onProblem: (problem) => void this.#writing.then(() => reject(this.#broken(problem)), reject),
      },
    );
    try {
      const redirect = await promise;
      if (redirect) return redirect;
    } catch (error) {
      throw this.#explained(error);
    } finally {
      await this.#file?.close();
    }
    if (this.#total !== undefined && this.#done !== this.#total) throw this.#broken();
    wanted.onProgress(this.#done, this.#done);
    return this.#resumed;
  }

  async #begin(status: number, headers: Headers): Promise<void> {
    const { url, wanted, part, note, from } = this.#parts;
    const goesOn = status === 206 && from !== undefined && headers["content-range"]?.startsWith(`bytes ${from.bytes}-`) === true;
    if (status === 416 && from !== undefined) {
      await Promise.all([rm(part, { force: true }), rm(note, { force: true })]);
      throw new CommandError(`${url.host} no longer has the file of which a part was here; the part is gone, run this again.`);
    }
    if (status !== 200 && !goesOn) throw new CommandError(`${url.host} answered ${status}.`);
    this.#resumed = goesOn ? from.bytes : 0;
    this.#done = this.#resumed;
    const length = Number(headers["content-length"] ?? NaN);
    // What a server gives of a range may be less than was asked for.
    const whole = goesOn ? Number(/\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] ?? NaN) : NaN;
    if (Number.isFinite(length)) {
      this.#total = Number.isFinite(whole) ? whole : this.#resumed + length;
      const { bavail, bsize } = await statfs(dirname(part));
      if (length + SPARE_BYTES > bavail * bsize)
        throw new CommandError(
          `The file needs ${Math.ceil(length / MIB)} MiB more, and ${Math.floor((bavail * bsize) / MIB)} MiB are free beside ${wanted.to}.`,
        );
    }
    const validator = headers["etag"]?.startsWith('"') ? headers["etag"] : headers["last-modified"];
    // A note of an earlier version would let a later run go on with the wrong one.
    if (validator === undefined) await rm(note, { force: true });
    else await writeFile(note, JSON.stringify({ url: nameOf(wanted.url), validator } satisfies PartNote), { mode: 0o600 });
    this.#file = await open(part, goesOn ? "a" : "w", 0o600);
  }

  async #write(chunk: Buffer, from: ClientHandle): Promise<void> {
    if (!this.#file) throw new CommandError("The file could not be opened.");
    await this.#file.appendFile(chunk);
    this.#waiting -= chunk.length;
    this.#done += chunk.length;
    this.#parts.wanted.onProgress(this.#done, this.#total);
    if (this.#waiting < MOST_WAITING) from.resume();
  }

  #broken(problem?: Problem): CommandError {
    const said = problem ? problem.message : `${this.#parts.url.host} ended the file too early.`;
    return new CommandError(`${said} ${this.#done} bytes are kept; run this again to go on from there.`);
  }

  #explained(error: unknown): unknown {
    if (codeOf(error) === "ENOSPC")
      return new CommandError(`The disk of ${this.#parts.wanted.to} is full; ${this.#done} bytes are kept: make room and run this again.`);
    return unwritable(error, this.#parts.wanted.to);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function unwritable(error: unknown, to: string): unknown {
  const code = codeOf(error);
  return code === "EACCES" || code === "EROFS" || code === "EPERM" ? new CommandError(`${to} cannot be written.`) : error;
}

async function sha256Of(path: string): Promise<string> {
  const digest = createHash("sha256");
  for await (const chunk of createReadStream(path)) digest.update(chunk as Buffer);
  return digest.digest("hex");
}
