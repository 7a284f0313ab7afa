import { spawn, type ChildProcess } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, describe, expect, it } from "vitest";
import { anyAnswer } from "../support/batch-answers.ts";
import { startService } from "../support/batch-service.ts";
import { beginBatch, chatLine, dataFolder, fourKinds, openGateway, toldLines, until, whenOver } from "../support/batching.ts";

const ROOT = join(import.meta.dirname, "../..");
const closing: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const close of closing.toReversed()) await close();
});

interface Served {
  readonly client: OpenAI;
  kill(): Promise<void>;
}

async function serve(folder: string, file: string): Promise<Served> {
  const child: ChildProcess = spawn(
    process.execPath,
    [join(ROOT, "src/main.ts"), "serve", "--config", file, "--data", folder, "--port", "0"],
    {
      cwd: ROOT,
      env: { PATH: process.env["PATH"] ?? "" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const kill = (): Promise<void> =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      child.on("exit", () => resolve());
      child.kill("SIGKILL");
    });
  closing.push(kill);
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const look = (text: Buffer): void => {
      output += text.toString();
      const ready = /gimbal ready on (http:\S+)/.exec(output)?.[1];
      if (ready !== undefined) resolve(ready);
    };
    child.stdout?.on("data", look);
    child.stderr?.on("data", look);
    child.on("exit", () => reject(new Error(`the gateway did not start:\n${output}`)));
  });
  return { client: new OpenAI({ apiKey: "x", baseURL: `${url}/v1`, maxRetries: 0 }), kill };
}

const LINES = 60;
const MODELS = [
  ["lab/gpt-5-mini", 325_000],
  ["claude/claude-sonnet-4-5", 3_000_000],
  ["mistral/mistral-large-2512", 400_000],
  ["gemini/gemini-2.5-flash", 400_000],
] as const;

describe("a gateway that is killed while services", () => {
  it("are sent orders, work on them, and give results, submits once and books each line once", async () => {
    const service = await startService({ answer: anyAnswer, create: "silent", looks: Number.POSITIVE_INFINITY });
    closing.push(() => service.close());
    const { folder, remove } = await dataFolder();
    closing.push(remove);
    const file = join(folder, "gimbal.yaml");
    const config = fourKinds(service.url);
    await writeFile(file, `version: 1\n${config}`);
    const names = Array.from({ length: LINES }, (_, place) => `n${place}`);
    const first = await serve(folder, file);
    const ids = await Promise.all(
      MODELS.map(([model]) =>
        beginBatch(
          first.client,
          names.map((name) => chatLine(name, model)),
        ),
      ),
    );
    await until(
      async () => service.batches.length,
      (count) => count === MODELS.length,
    );
    await first.kill();

    // The orders are there, and nobody was told: they are found by their marks, but one that has none by its results.
    service.behaviour.create = "well";
    for (const order of service.batches) order.state = "ended";
    const second = await serve(folder, file);
    const counted = (): Promise<readonly number[]> =>
      Promise.all(ids.map(async (id) => (await second.client.batches.retrieve(id)).request_counts?.completed ?? 0));
    await until(counted, (counts) => counts.every((count) => count > 5));
    await second.kill();

    const last = await openGateway(config, folder);
    closing.push(() => last.close());
    for (const [place, [, cost]] of MODELS.entries()) {
      const id = ids[place] ?? "";
      const batch = await whenOver(last.openai, id);
      expect(batch.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
      expect((await toldLines(last.openai, batch.output_file_id)).map((line) => line.custom_id)).toEqual(names);
      const rows = await last.rowsOf(id);
      expect(rows).toHaveLength(LINES);
      expect(new Set(rows.map(({ metadata }) => JSON.stringify(metadata?.["custom_id"]))).size).toBe(LINES);
      expect(rows.reduce((sum, { costNanodollars = 0 }) => sum + costNanodollars, 0)).toBe(LINES * cost);
      expect(rows.every(({ state }) => state === "done")).toBe(true);
    }
    expect(service.batches).toHaveLength(MODELS.length);
    expect(service.calls).toEqual([]);
  });
});
