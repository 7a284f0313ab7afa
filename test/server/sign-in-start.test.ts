import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endAll, serve } from "../end-to-end/resume-process.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Processes start, on a machine that may be busy. */
const START_MS = 90_000;
const OIDC = "identity: { oidc: { issuer: http://127.0.0.1:9, clientId: c, roles: { map: { a: admin } } } }\n";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-start-"));
});
afterAll(async () => {
  endAll();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** Runs a script in a process of its own; resolves with what it printed. */
function run(script: string): Promise<string> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.on("data", (text: Buffer) => (printed += text.toString()));
  return new Promise((resolve) => child.on("close", () => resolve(printed)));
}

/** What a gateway with this configuration has loaded of the libraries that know of identity, once it is ready. */
const loadedBy = (config: string, data: string): Promise<string> =>
  run(`
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ resolve(name, context, next) { if (/^(jose|openid-client)$/.test(name)) loaded.push(name); return next(name, context); } });
    const { openHouse } = await import("./src/house.ts");
    const house = await openHouse({ config: { text: ${JSON.stringify(`version: 1\n${config}`)}, fileName: "gimbal.yaml" }, folder: ${JSON.stringify(data)}, port: 0, host: "127.0.0.1", env: {}, log: () => {} });
    await house.close();
    console.log(JSON.stringify(loaded));
  `);

describe("a gateway that starts", () => {
  it(
    "loads nothing of identity that its configuration does not name",
    async () => {
      expect(JSON.parse(await loadedBy("", join(folder, "plain")))).toEqual([]);
      expect(JSON.parse(await loadedBy(OIDC, join(folder, "people")))).toContain("jose");
    },
    START_MS,
  );

  it.each([[[]], [["--workers", "2"]]])(
    "says where people sign in, where they can (%j)",
    async (flags) => {
      const file = join(folder, "gimbal.yaml");
      await writeFile(file, `version: 1\n${OIDC}`);
      const served = await serve(join(folder, `data${flags.length}`), file, flags);
      expect(served.output()).toContain(`Sign-in of people: ${served.url}/admin/sign-in\n`);
      await served.kill();
    },
    START_MS,
  );

  it(
    "says nothing of it where they cannot",
    async () => {
      const file = join(folder, "plain.yaml");
      await writeFile(file, "version: 1\n");
      const served = await serve(join(folder, "bare"), file);
      expect(served.output()).not.toContain("Sign-in of people");
      await served.kill();
    },
    START_MS,
  );
});
