import { spawn } from "node:child_process";
import { join } from "node:path";
import { platform } from "node:process";
import { describe, expect, it } from "vitest";
import { RawClient } from "./raw.ts";

const SERVER = join(import.meta.dirname, "descriptors-server.ts");
const LIMIT = 120;
const GET = "GET / HTTP/1.1\r\nhost: here\r\n\r\n";

describe.runIf(platform === "linux")("a process with few file descriptors", () => {
  it("refuses connections early with 503, lives on and serves again", async () => {
    const child = spawn("sh", ["-c", `ulimit -n ${LIMIT} && exec "$0" "$1"`, process.execPath, SERVER], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const port = await new Promise<number>((resolve) => child.stdout.once("data", (bytes: Buffer) => resolve(Number(bytes.toString()))));
    const clients: RawClient[] = [];
    for (let nth = 0; nth < 2 * LIMIT; nth++) {
      const client = new RawClient(port).say(GET);
      await Promise.race([client.hears("HTTP/1.1 "), client.closed]);
      clients.push(client);
    }
    const served = clients.filter((client) => client.heard.startsWith("HTTP/1.1 200"));
    const refused = clients.filter((client) => client.heard.startsWith("HTTP/1.1 503"));
    expect(served.length).toBeGreaterThan(5);
    expect(served.length).toBeLessThan(LIMIT / 2);
    expect(refused.length).toBe(clients.length - served.length);
    for (const client of clients) client.socket.destroy();
    await Promise.all(clients.map((client) => client.closed));
    let again: RawClient;
    do {
      again = new RawClient(port).say(GET);
      await Promise.race([again.hears("HTTP/1.1 "), again.closed]);
      if (!again.heard.startsWith("HTTP/1.1 200")) again.socket.destroy();
    } while (!again.heard.startsWith("HTTP/1.1 200"));
    again.socket.destroy();
    expect(child.exitCode).toBeNull();
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exited;
  });
});
