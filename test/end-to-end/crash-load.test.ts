import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SeededRandomness } from "../../src/kit/index.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { workersOf } from "../support/workers.ts";
import { endAll, serve, type Served } from "./resume-process.ts";
import { BARE_ENV } from "../support/children.ts";

/** At night as often as the promise says; in the usual run five in all. */
const EXHAUSTIVE = process.env["GIMBAL_EXHAUSTIVE"] === "1";
const killsOf = (usual: number): number => (EXHAUSTIVE ? 50 : usual);
const LIMIT_MS = EXHAUSTIVE ? 3_600_000 : 120_000;
const MAIN = join(import.meta.dirname, "../../src/main.ts");
const CENT = 10_000_000;
const CALLERS = 8;
const STREAMS = 2;
const MOST_WORKERS = 2;
/** Calls of each caller before a kill, on average. */
const CALLS = 12;
/** At most so many of each in the midst of the kill. */
const BESIDE = 100;
/** A row leaves its process within `storage.busyMs`, and an open record within twice `storage.openHoldMs`. */
const LEFT_MS = 150;
const PATIENCE_MS = 3000;
/** A file of every row there is, which after fifty kills are some ten thousand. */
const READING_MS = 60_000;
const END_OF_TIME = "9000-01-01";
const SOON = { timeout: 30_000, interval: 50 };
/** Every row is read each time it is looked. */
const READ = { timeout: 90_000, interval: 200 };
const CONFIG = `version: 1
storage: { openHoldMs: 1 }
budgets: [{ usd: 1000, per: lifetime }]
sim:
  models:
    penny: { text: "ok", price: { perCallUsd: 0.01 } }
    slow: { text: "${"some words that take long to say ".repeat(50)}", ttftMs: 5, tokensPerSecond: 1, price: { perCallUsd: 0.01 } }
`;

let folders: string[] = [];
afterEach(async () => {
  endAll();
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 5 })));
  folders = [];
});

/** One record, its gateway, and what callers know of their calls. */
class Load {
  readonly folder: string;
  readonly #file: string;
  readonly #flags: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  /** Calls that were answered so long ago that they must have their row. */
  readonly acknowledged = new Set<string>();
  /** Streams that had begun so long ago. */
  readonly begun = new Set<string>();
  served: Served | undefined;

  constructor(folder: string, flags: readonly string[], env: Readonly<Record<string, string>>) {
    this.folder = join(folder, "data");
    this.#file = join(folder, "gimbal.yaml");
    this.#flags = flags;
    this.#env = env;
  }

  static async begin(flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Load> {
    const folder = await mkdtemp(join(tmpdir(), "gimbal-load-"));
    folders.push(folder);
    const load = new Load(folder, flags, env);
    await writeFile(join(folder, "gimbal.yaml"), CONFIG);
    await load.start();
    return load;
  }

  async start(): Promise<void> {
    this.served = await serve(this.folder, this.#file, this.#flags, this.#env);
  }
  get pid(): number {
    return this.served?.child.pid ?? 0;
  }

  #ask(model: string, stream: boolean): Promise<Response> {
    return fetch(`${this.served?.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", connection: "close" },
      body: JSON.stringify({ model, stream, max_tokens: 20, messages: [{ role: "user", content: "hi" }] }),
      // A connection that is handed to a worker in the moment of its death is never answered.
      ...(!stream && { signal: AbortSignal.timeout(PATIENCE_MS) }),
    });
  }

  async admin(path: string, body?: object): Promise<Record<string, unknown>> {
    return (await (await this.#administer(path, PATIENCE_MS, body)).json()) as Record<string, unknown>;
  }

  async #administer(path: string, patienceMs: number, body?: object): Promise<Response> {
    const token = (await readFile(join(this.folder, "admin-token"), "utf8")).trim();
    const response = await fetch(`${this.served?.url}/admin/api${path}`, {
      method: body ? "POST" : "GET",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", connection: "close" },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(patienceMs),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response;
  }

  /** Some calls and streams, then the kill in the midst of more of them. What was told durable before it is remembered. */
  async run(calls: number, kill: () => Promise<void> | void): Promise<void> {
    const answered: string[] = [];
    const streams: string[] = [];
    const end = new AbortController();
    const call = async (): Promise<boolean> => {
      try {
        const response = await this.#ask("sim/penny", false);
        await response.text();
        if (response.status === 200) answered.push(response.headers.get("x-gimbal-call-id") ?? "");
        return true;
      } catch {
        // The gateway is dying, or a worker of it.
        return false;
      }
    };
    const stream = async (): Promise<void> => {
      const response = await this.#ask("sim/slow", true);
      const reader = response.body?.getReader();
      await reader?.read();
      streams.push(response.headers.get("x-gimbal-call-id") ?? "");
      void (async () => {
        try {
          while (!end.signal.aborted && !(await reader?.read())?.done);
          await reader?.cancel();
        } catch {
          // As above.
        }
      })();
    };
    const all = <T>(count: number, work: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: count }, work));
    await all(STREAMS, stream);
    await all(CALLERS, async () => {
      for (let number = 0; number < calls; number++) await call();
    });
    const [certain, running] = [[...answered], [...streams]];
    await new Promise((resolve) => setTimeout(resolve, LEFT_MS));
    // Answered behind everything that its process had queued before it. Connections are dealt to the workers in turn.
    for (let turn = 0; turn < MOST_WORKERS; turn++) await this.admin("/keys", { name: "barrier" });
    for (const id of certain) this.acknowledged.add(id);
    for (const id of running) this.begun.add(id);
    // Whoever is not answered any more has met the kill; the others may go on beside it, for a while.
    const more = all(CALLERS, async () => {
      for (let number = 0; number < BESIDE && !end.signal.aborted; number++) if (!(await call())) return;
    });
    await new Promise((resolve) => setTimeout(resolve, calls * 5));
    await kill();
    end.abort();
    await more;
  }

  /** Every row there is, as the administrator takes them with him: `/ledger` ends at its limit. */
  async rows(): Promise<readonly Row[]> {
    const file = await this.#administer(`/ledger/export?format=json&to=${END_OF_TIME}`, READING_MS);
    return (await file.json()) as readonly Row[];
  }

  async #counter(): Promise<Counter> {
    const { budgets } = (await this.admin("/budgets")) as { budgets: { counters: Counter[] }[] };
    return budgets[0]?.counters[0] ?? { spent: "nothing", reserved: "nothing" };
  }

  async check(): Promise<void> {
    const said = (work: () => Promise<unknown>) => (): Promise<unknown> => work().catch(String);
    await expect
      .poll(
        said(async () => (await this.#counter()).reserved),
        SOON,
      )
      .toBe("0.000000000");
    const missing = async (): Promise<number> => {
      const paid = (await this.rows()).reduce((sum, row) => sum + paidFor(row), 0);
      return Math.abs(Math.round(paid - Number((await this.#counter()).spent) * 1e9));
    };
    await expect.poll(said(missing), READ).toBe(0);
    const rows = await this.rows();
    const ids = rows.map(({ call_id: id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const states = new Map(rows.map(({ call_id: id, state }) => [id, state]));
    expect([...this.acknowledged].filter((id) => states.get(id) !== "done")).toEqual([]);
    // Of a worker that was spared the streams end when their reader leaves.
    const unended = [...this.begun].map((id) => states.get(id) ?? `${id} has no row`);
    expect(unended.filter((state) => state !== "interrupted" && state !== "cancelled")).toEqual([]);
  }

  /** `gimbal audit verify`, in the midst of service. */
  async audit(): Promise<void> {
    const verdict = await new Promise<string>((resolve) =>
      execFile(
        process.execPath,
        [MAIN, "audit", "verify", "--data", this.folder],
        { env: { ...BARE_ENV, ...this.#env } },
        (error, stdout, stderr) => resolve(error ? `failed: ${stdout}${stderr}` : stdout),
      ),
    );
    expect(verdict).not.toContain("failed");
  }
}

/** What is looked at of a row as it is exported. */
interface Row {
  readonly call_id: string;
  readonly state: string;
  readonly cost_nanodollars?: number;
}
/** In nanodollars. Whose caller lost patience before a model was asked paid nothing. */
function paidFor({ state, cost_nanodollars: cost = 0 }: Row): number {
  if (state === "cancelled") return cost;
  return state === "failed" ? 0 : CENT;
}
interface Counter {
  readonly spent: string;
  readonly reserved: string;
}

/** Kills in the midst of load, again and again, and looks at everything each time. */
async function killAgain(load: Load, kills: number, kill: (load: Load) => Promise<void>): Promise<void> {
  const random = new SeededRandomness(kills);
  const startedAt = performance.now();
  for (let number = 0; number < kills; number++) {
    await load.run(Math.ceil(random.number() * 2 * CALLS), () => kill(load));
    await load.check();
  }
  await load.audit();
  expect(load.acknowledged.size).toBeGreaterThan(kills * CALLERS);
  const [rows, seconds] = [(await load.rows()).length, ((performance.now() - startedAt) / 1000).toFixed(0)];
  process.stdout.write(`${kills} kills in ${seconds} s: ${load.acknowledged.size} calls told durable, ${rows} rows\n`);
}

const gateway = async (load: Load): Promise<void> => {
  const workers = workersOf(load.pid);
  await load.served?.kill();
  // Without their primary they end by themselves; until then they are nobody's.
  await expect.poll(() => workers.filter(isAlive), SOON).toEqual([]);
  await load.start();
};
const worker = async (load: Load): Promise<void> => {
  const before = workersOf(load.pid);
  process.kill(before[0] ?? 0, "SIGKILL");
  await expect.poll(() => workersOf(load.pid).filter((pid) => !before.includes(pid)).length, SOON).toBe(1);
};
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("a gateway that is killed under load loses no row it had acknowledged, doubles none, and settles what it held", () => {
  it("alone", { timeout: LIMIT_MS }, async () => killAgain(await Load.begin(), killsOf(1), gateway));
  it("as one of two workers", { timeout: LIMIT_MS }, async () => killAgain(await Load.begin(["--workers", "2"]), killsOf(1), worker));
  it("as the primary of two workers", { timeout: LIMIT_MS }, async () =>
    killAgain(await Load.begin(["--workers", "2"]), killsOf(1), gateway),
  );

  describe.skipIf(!hasPostgres)("on PostgreSQL", () => {
    let server: TestPostgres;
    beforeAll(async () => void (server = await startPostgres()));
    afterAll(() => server?.stop());
    const env = (schema: string): Readonly<Record<string, string>> => ({ GIMBAL_DATABASE_URL: server.url(schema) });

    it("alone", { timeout: LIMIT_MS }, async () => killAgain(await Load.begin([], env("alone")), killsOf(1), gateway));
    it("as one of two workers", { timeout: LIMIT_MS }, async () =>
      killAgain(await Load.begin(["--workers", "2"], env("workers")), killsOf(1), worker),
    );
  });
});
