import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endAll, serve, type Served } from "./resume-process.ts";

/** Fresh connections are dealt out in turn: so many meet every worker. */
const CALLS = 8;
const ANSWER_MS = 3000;
const PATIENCE_MS = 30_000;

let folder: string;
let served: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-metrics-"));
  const file = join(folder, "gimbal.yaml");
  await writeFile(file, "version: 1\n");
  served = await serve(folder, file, ["--workers", "2"]);
}, 60_000);
afterAll(async () => {
  endAll();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** One request over a connection of its own. */
function send(method: string, path: string, body?: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(`${served.url}${path}`, { method, headers: { "content-type": "application/json" }, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve(text)).on("error", reject);
    });
    // A worker that is killed in the middle never answers.
    sent.setTimeout(ANSWER_MS, () => sent.destroy(new Error("no answer"))).on("error", reject);
    sent.end(body && JSON.stringify(body));
  });
}
const call = (): Promise<string> =>
  send("POST", "/v1/chat/completions", { model: "sim/echo", messages: [{ role: "user", content: "hello" }] });
const count = (page: string): number =>
  Number(/^gimbal_calls_total\{model="sim\/echo",provider="sim",state="done",problem=""\} (\d+)$/m.exec(page)?.[1] ?? 0);
const processes = (page: string): string[] =>
  [...page.matchAll(/^gimbal_calls_running\{process="(\d+)"\}/gm)].map(([, name = ""]) => name).toSorted();
/** So many scrapes in a row meet each worker. */
const scrapes = (): Promise<string[]> => Promise.all(Array.from({ length: 4 }, () => send("GET", "/metrics")));

it("every worker's page answers for all of them, also after one died and was replaced", async () => {
  await Promise.all(Array.from({ length: CALLS }, call));
  await expect.poll(async () => (await scrapes()).map(count), { timeout: PATIENCE_MS }).toEqual([CALLS, CALLS, CALLS, CALLS]);
  const pages = await scrapes();
  for (const page of pages) {
    expect(processes(page)).toEqual(["1", "2"]);
    expect(page.match(/# TYPE gimbal_calls_total/g)).toHaveLength(1);
    expect(page).not.toMatch(/gimbal_calls_total\{[^}]*process=/);
  }
  const victim = Number(/^gimbal_process_info\{pid="(\d+)",process="1"\} 1$/m.exec(pages[0] ?? "")?.[1]);
  expect(victim).toBeGreaterThan(0);
  process.kill(victim, "SIGKILL");
  await expect.poll(async () => (await scrapes()).map(processes), { timeout: PATIENCE_MS }).toEqual([2, 2, 2, 2].map(() => ["2", "3"]));
  // Nothing that was counted is gone, and nothing is counted twice.
  expect((await scrapes()).map(count)).toEqual([CALLS, CALLS, CALLS, CALLS]);
  await Promise.all(Array.from({ length: CALLS }, call));
  await expect.poll(async () => (await scrapes()).map(count), { timeout: PATIENCE_MS }).toEqual([2, 2, 2, 2].map(() => 2 * CALLS));
});
