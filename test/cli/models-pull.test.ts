import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readArguments } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import type { CliDeps } from "../../src/cli/deps.ts";
import { redirected } from "../../src/cli/download.ts";
import { systemClock } from "../../src/kit/index.ts";

const FILE = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7) % 251));
const SHA256 = hash("sha256", FILE, "hex");

let answer: (request: IncomingMessage, response: ServerResponse) => void;
let server: Server;
let origin: string;
let folder: string;
const asked: IncomingMessage["headers"][] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request.headers);
    answer(request, response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-pull-"));
  asked.length = 0;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Like a server of files: ranges of the same version, else all of it. `until`: the connection breaks there. */
function files(etag = '"one"', until = FILE.length): typeof answer {
  return (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const goesOn = from > 0 && request.headers["if-range"] === etag;
    const body = goesOn ? FILE.subarray(from) : FILE;
    response.writeHead(goesOn ? 206 : 200, {
      etag,
      "content-length": body.length,
      ...(goesOn && { "content-range": `bytes ${from}-${FILE.length - 1}/${FILE.length}` }),
    });
    if (until >= FILE.length) return void response.end(body);
    response.write(body.subarray(0, until), () => setImmediate(() => response.destroy()));
  };
}

async function pull(...args: string[]): Promise<{ readonly code: number | string; readonly out: string; readonly err: string }> {
  const command = COMMANDS.find(({ name }) => name === "models pull");
  if (!command) throw new Error("no such command");
  let out = "";
  let err = "";
  const deps: Pick<CliDeps, "cwd" | "env" | "clock" | "out" | "err" | "isRunning"> = {
    cwd: folder,
    env: {},
    clock: systemClock,
    isRunning: (pid) => pid === process.pid,
    out: (text) => void (out += text),
    err: (text) => void (err += text),
  };
  try {
    return { code: await command.run(readArguments(command, args), deps as CliDeps), out, err };
  } catch (error) {
    return { code: error instanceof Error ? error.message : String(error), out, err };
  }
}

const ALLOWED = "--allow-private-network";

describe("gimbal models pull", () => {
  it("fetches, compares and says what it did, with a bar", async () => {
    answer = files();
    const { code, out, err } = await pull(`${origin}/m/tiny.gguf`, ALLOWED, "--sha256", SHA256.toUpperCase(), "--data", folder);
    expect(code).toBe(0);
    expect(out).toContain(SHA256);
    expect(err).toMatch(/\[#{30}\] 100% 0\.3 MiB/);
    expect(await readFile(join(folder, "models", "tiny.gguf"))).toEqual(FILE);
    expect(await readdir(join(folder, "models"))).toEqual(["tiny.gguf"]);
    expect((await pull(`${origin}/m/tiny.gguf`, ALLOWED, "--data", folder)).code).toMatch(/is there already/);
  });
  it("goes on from where a run was cut, and begins anew when the file changed", async () => {
    answer = files('"one"', 100_000);
    const cut = await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin");
    expect(cut.code).toMatch(/ (\d+) bytes are kept; run this again to go on from there\.$/);
    const kept = Number(/(\d+) bytes are kept/.exec(String(cut.code))?.[1]);
    expect(kept).toBeGreaterThan(0);
    answer = files('"one"');
    const { out } = await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin", "--json");
    expect(asked.at(-1)).toMatchObject({ range: `bytes=${kept}-`, "if-range": '"one"' });
    expect(JSON.parse(out)).toEqual({ path: join(folder, "a.bin"), bytes: FILE.length, sha256: SHA256, resumed: kept });
    answer = files('"one"', 100_000);
    await pull(`${origin}/b.bin`, ALLOWED, "--to", "b.bin");
    answer = files('"two"');
    expect(JSON.parse((await pull(`${origin}/b.bin`, ALLOWED, "--to", "b.bin", "--json")).out)).toMatchObject({
      resumed: 0,
      sha256: SHA256,
    });
  });
  it("throws away what has another checksum", async () => {
    answer = files();
    const wrong = "0".repeat(64);
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin", "--sha256", wrong)).code).toContain(`SHA-256 ${SHA256}, not ${wrong}`);
    expect(await readdir(folder)).toEqual([]);
  });
  it("follows redirects, a few of them, and never out of TLS", async () => {
    answer = (request, response) =>
      request.url === "/far" ? files()(request, response) : void response.writeHead(302, { location: "/far" }).end();
    expect((await pull(`${origin}/near`, ALLOWED, "--to", "a.bin")).code).toBe(0);
    answer = (_request, response) => void response.writeHead(302, { location: "/again" }).end();
    expect((await pull(`${origin}/near`, ALLOWED, "--to", "b.bin")).code).toMatch(/redirects more than 5 times/);
    answer = (_request, response) => void response.writeHead(302, { location: "file:///etc/passwd" }).end();
    expect((await pull(`${origin}/near`, ALLOWED, "--to", "b.bin")).code).toMatch(/redirects to file:/);
  });
  it("says what a server answered, and that a disk is too small before it is full", async () => {
    answer = (_request, response) => void response.writeHead(404).end();
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin")).code).toMatch(/answered 404/);
    answer = (_request, response) => void response.writeHead(200, { "content-length": String(2 ** 46) }).write("x");
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin")).code).toMatch(/The file needs \d+ MiB more, and \d+ MiB are free/);
  });
  it("reaches no private address unless it is told to", async () => {
    expect((await pull(`${origin}/a.bin`)).code).toMatch(/over https/);
    const inside = await pull(`https://127.0.0.1:${new URL(origin).port}/a.bin`, "--to", "a.bin");
    expect(inside.code).toMatch(/private|not allowed|refused/i);
    expect(asked).toEqual([]);
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--sha256", "12")).code).toMatch(/64 hexadecimal/);
    expect((await pull(`${origin}/..%2f..%2fetc`, ALLOWED)).code).not.toBe(0);
  });

  it("begins anew where a server knows no ranges, or has no way to say that the file is still the same", async () => {
    answer = files('"one"', 100_000);
    await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin");
    answer = (_request, response) => void response.writeHead(200, { "content-length": FILE.length }).end(FILE);
    const { out } = await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin", "--json");
    expect(asked.at(-1)).toHaveProperty("range");
    expect(JSON.parse(out)).toMatchObject({ resumed: 0, sha256: SHA256 });
    answer = files('"one"', 100_000);
    await pull(`${origin}/b.bin`, ALLOWED, "--to", "b.bin");
    // Another version, which has no name, came over the part that had one, and was cut as well.
    answer = (_request, response) => {
      response.writeHead(200, { "content-length": FILE.length });
      response.write(Buffer.alloc(1000), () => setImmediate(() => response.destroy()));
    };
    await pull(`${origin}/b.bin`, ALLOWED, "--to", "b.bin");
    answer = files();
    expect(JSON.parse((await pull(`${origin}/b.bin`, ALLOWED, "--to", "b.bin", "--json")).out)).toMatchObject({
      resumed: 0,
      sha256: SHA256,
    });
  });
  it("takes no piece of a range for the whole, nor a range that it did not ask for", async () => {
    answer = files('"one"', 100_000);
    await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin");
    const { length: kept } = await readFile(join(folder, "a.bin.part"));
    const range = (from: number, until: number, response: ServerResponse): void =>
      void response
        .writeHead(206, { etag: '"one"', "content-length": until - from, "content-range": `bytes ${from}-${until - 1}/${FILE.length}` })
        .end(FILE.subarray(from, until));
    answer = (_request, response) => range(kept, kept + 50, response);
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin")).code).toMatch(/ended the file too early/);
    expect(await readdir(folder)).not.toContain("a.bin");
    answer = (_request, response) => range(0, 9, response);
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin")).code).toMatch(/answered 206/);
    answer = files();
    const { out } = await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin", "--json");
    expect(JSON.parse(out)).toMatchObject({ resumed: kept + 50, sha256: SHA256 });
  });
  it("lets one run at a time fetch a file, and minds no lock of one that was killed", async () => {
    let go = (): void => {};
    answer = (request, response) => void (go = () => files()(request, response));
    const first = pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin");
    while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin")).code).toMatch(/Another run fetches .*a\.bin already \(process \d+\)/);
    go();
    expect((await first).code).toBe(0);
    expect(await readdir(folder)).toEqual(["a.bin"]);
    await writeFile(join(folder, "b.bin.part.lock"), "999999999");
    answer = files();
    expect((await pull(`${origin}/b.bin`, ALLOWED, "--to", "b.bin")).code).toBe(0);
  });
  it.skipIf(!existsSync("/dev/full"))("says that the disk is full when it is", async () => {
    await symlink("/dev/full", join(folder, "a.bin.part"));
    answer = files();
    expect((await pull(`${origin}/a.bin`, ALLOWED, "--to", "a.bin")).code).toMatch(
      /The disk of .*a\.bin is full; \d+ bytes are kept: make room/,
    );
    expect(existsSync(join(folder, "a.bin.part.lock"))).toBe(false);
  });
  it("puts nothing anywhere else, whatever an address calls its file", async () => {
    answer = files();
    for (const name of ["%2e%2e", ".hidden", "a%00b", "a%0ab", "%zz", "-rf", "..%2f"])
      expect((await pull(`${origin}/m/${name}`, ALLOWED, "--data", folder)).code, name).toMatch(/ends in no file name/);
    expect((await pull(`${origin}/m/..%2f..%2fpasswd`, ALLOWED, "--data", folder)).code).toBe(0);
    // Of a path only its end is a name.
    expect(await readdir(folder, { recursive: true })).toEqual(["models", "models/passwd"]);
  });
  it("follows no redirect out of TLS", () => {
    const from = new URL("https://models.example/a.bin");
    expect(() => redirected(from, "http://models.example/a.bin")).toThrow("redirects to http://, which is refused");
    expect(() => redirected(from, "http://[")).toThrow("no address");
    expect(redirected(from, "/b.bin").href).toBe("https://models.example/b.bin");
    expect(redirected(from, "https://elsewhere.example/c").href).toBe("https://elsewhere.example/c");
  });
});
