import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../src/kit/index.ts";
import { spendReport, timeOf, type SpendQuery } from "../src/ledger/reports/index.ts";
import { openSqlite } from "../src/stores/index.ts";
import { packLatency } from "../src/stores/rollup.ts";

/**
 * Milliseconds of a report over a year: `node bench/reports.ts [rows]`. The sums are those of a year of calls by 50 keys of 10 teams over 2
 * models each, with 20 features; they are written straight into their tables, hour by hour, because what is measured is reading them.
 */
const rows = Number(process.argv[2] ?? 10_000_000);
const ROUNDS = 9;
const DAYS = 365;
const FIRST_HOUR = Date.UTC(2025, 0, 1) / 3_600_000;
const TEAMS = 10;
const KEYS = 50;

type Labels = readonly [dimension: string, value: string, key: string, team: string, project: string, model: string, target: string];

function* series(): Generator<Labels> {
  yield ["all", "", "", "", "", "", ""];
  for (let team = 0; team < TEAMS; team++) {
    yield ["team", "", "", `team-${team}`, "", "", ""];
    yield ["project", "", "", `team-${team}`, `project-${team}`, "", ""];
    for (const feature of [2 * team, 2 * team + 1, (2 * team + 7) % 20])
      yield ["metadata.feature", `feature-${feature}`, "", `team-${team}`, `project-${team}`, "", ""];
  }
  for (let model = 0; model < 5; model++) {
    yield ["model", "", "", "", "", `model-${model}`, ""];
    yield ["target", "", "", "", "", "", `lab/model-${model}`];
  }
  for (let key = 0; key < KEYS; key++) {
    const team = key % TEAMS;
    yield ["key", "", `key-${key}`, `team-${team}`, `project-${team}`, "", ""];
    for (const model of [key % 5, (key + 1) % 5])
      yield ["cube", "", `key-${key}`, `team-${team}`, `project-${team}`, `model-${model}`, `lab/model-${model}`];
  }
}

/** Of each dimension an hour's calls are spread over its series. */
function fill(path: string): number {
  const database = new DatabaseSync(path);
  const all = [...series()];
  const insert = database.prepare("INSERT INTO rollup_series VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  database.exec("PRAGMA synchronous = OFF; BEGIN");
  database.exec(
    `CREATE TEMP TABLE generate_hours AS WITH RECURSIVE hours (value) AS
     (SELECT 0 UNION ALL SELECT value + 1 FROM hours WHERE value < ${DAYS * 24 - 1}) SELECT value FROM hours`,
  );
  const shared = Map.groupBy(all, ([dimension]) => dimension);
  const latency = packLatency(new Map(Array.from({ length: 24 }, (_, at) => [Math.floor(at / 8) * 256 + 90 + (at % 8), 1 + (at % 5)])));
  for (const [place, labels] of all.entries()) insert.run(place + 1, ...labels);
  for (const [level, step] of [
    [0, 1],
    [1, 24],
  ] as const) {
    const cells = database.prepare(
      `INSERT INTO rollup_cells SELECT ${level}, ?1, ?2 + value, ?3, ?4, 1, 0, 2, ?4 * 125000, 0, ?4 * 250, 10, 20, ?4 * 80, 5, 0, 70
       FROM generate_hours WHERE value % ${step} = 0`,
    );
    for (const [place, [dimension]] of all.entries()) {
      const calls = step * Math.max(1, Math.round(rows / (DAYS * 24) / (shared.get(dimension)?.length ?? 1)));
      cells.run(place + 1, FIRST_HOUR, latency, calls);
    }
  }
  database.exec("COMMIT");
  const count = Number(database.prepare("SELECT count(*) AS cells FROM rollup_cells").get()?.["cells"]);
  database.close();
  return count;
}

const folder = mkdtempSync(join(tmpdir(), "gimbal-bench-"));
try {
  await (await openSqlite({ folder, node: "bench", clock: systemClock })).close();
  const cells = fill(join(folder, "record.db"));
  process.stdout.write(`${rows} calls of a year in ${cells} sums\n`);
  const stores = await openSqlite({ folder, node: "bench", clock: systemClock });
  const asked: readonly (Pick<SpendQuery, "by"> & Partial<SpendQuery>)[] = [
    { by: ["team", "day"] },
    { by: ["metadata.feature", "day"] },
    { by: ["model", "month"] },
    { by: ["key", "month"] },
    { by: ["key", "day"], where: { team: "team-3" } },
    { by: ["team", "model", "month"] },
    { by: ["team", "day"], latency: true },
    { by: ["metadata.feature", "month"], latency: true },
    { by: ["day"], timeZone: "Europe/Berlin" },
    { by: ["team", "day"], timeZone: "Europe/Berlin" },
    { by: ["team", "day"], timeZone: "America/Los_Angeles" },
    { by: ["team", "day"], timeZone: "Europe/Berlin", latency: true },
    { by: ["metadata.feature", "day"], timeZone: "Europe/Berlin" },
    { by: ["key", "month"], timeZone: "Europe/Berlin" },
  ];
  for (const query of asked) {
    const timeZone = query.timeZone ?? "UTC";
    const time = timeOf({ from: "2025-01-01", to: "2025-12-31", timeZone }, 0);
    const took: number[] = [];
    let lines = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const began = performance.now();
      lines = (await spendReport(stores.reports, { ...query, ...time })).lines.length;
      took.push(performance.now() - began);
    }
    const sorted = took.toSorted((a, b) => a - b);
    const where = Object.entries(query.where ?? {}).map(([name, value]) => `, ${name}=${value}`);
    process.stdout.write(
      `by ${query.by.join(",")}${where.join("")}, ${timeZone}${query.latency ? ", with latency" : ""}: ${(sorted[ROUNDS >> 1] ?? 0).toFixed(1)} ms (first ${(took[0] ?? 0).toFixed(1)}), ${lines} lines\n`,
    );
  }
  await stores.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
