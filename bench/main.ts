/**
 * `npm run bench [-- --quick] [-- --only plain,stream,...]`: measures this code beside its yardsticks on this machine and writes
 * bench/RESULTS.md. A quick run, or a part, is printed and not written.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { bare, direct, gimbal, nginx, nginxVersion, peer, wire } from "./candidates.ts";
import type { Candidate } from "./candidates.ts";
import { Bodies, compare, compareRoutes, FULL, idleStreams, QUICK, secondStart } from "./cases.ts";
import { embeddings } from "./embeddings.ts";
import { Helpers } from "./load.ts";
import { local } from "./local.ts";
import { canPin } from "./processes.ts";
import { isMissed, report, targetsOf } from "./report.ts";
import type { Measured } from "./report.ts";
import { survive } from "./survive.ts";
import { workersCase } from "./workers.ts";

const ROOT = join(import.meta.dirname, "..");
const PARTS = ["plain", "10k", "stream", "translated", "latency", "workers", "idle", "start", "survive", "local", "embeddings"];
/** Parts that start what they need themselves. */
const ALONE = ["start", "survive", "local", "embeddings"];
/** Streams, by the part of the bench they belong to. What is translated is set against what is forwarded. */
const STREAMS = [
  ["stream", "stream"],
  ["translated", "chat-to-messages"],
  ["translated", "messages-to-chat"],
] as const;
/** Load average above which others were at work when the bench began. */
const QUIET_LOAD = 0.5;

const quick = process.argv.includes("--quick");
const only = process.argv.includes("--only") ? (process.argv[process.argv.indexOf("--only") + 1] ?? "").split(",") : PARTS;
for (const part of only) if (!PARTS.includes(part)) fail(`There is no part "${part}"; there are: ${PARTS.join(", ")}.`);

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const wanted = (part: string): boolean => only.includes(part);

/** Starts whatever is there to compare; says in a note what is not. */
async function candidates(folder: string, upstream: number, notes: string[]): Promise<Candidate[]> {
  const list: Candidate[] = [direct(upstream), await bare(upstream), await wire(upstream)];
  if (nginxVersion()) list.push(await nginx(folder, upstream));
  else
    notes.push(
      "nginx is not installed, so nothing is compared with it (`apt-get install nginx-light` brings it); latency is compared with no proxy at all.",
    );
  if (existsSync(join(ROOT, "src", "main.ts"))) list.push(await gimbal(folder, upstream));
  else notes.push("There is no gateway in this checkout; only its transport was measured.");
  if (wanted("plain") || wanted("10k") || wanted("stream")) {
    const other = await peer(folder, upstream);
    if (typeof other === "string") notes.push(`${other}; its gate was not measured.`);
    else list.push(other);
  }
  return list;
}

async function measure(folder: string): Promise<Measured> {
  const plan = quick ? QUICK : FULL;
  const helpers = new Helpers(folder);
  const bodies = new Bodies(folder);
  const notes: string[] = [];
  if (!helpers.native)
    notes.push("No C compiler: load generator and upstream ran in JavaScript, so latencies are blurred and the load may not saturate.");
  if (!canPin) notes.push("Processes were not pinned to cores (needs two cores and taskset): CPU figures include migrations.");
  const [load = 0] = loadavg();
  if (load > QUIET_LOAD)
    notes.push(`The machine was not quiet (load average ${load.toFixed(1)} at the start): figures are too high and latencies tell little.`);
  const upstream = await helpers.upstream();
  const all = only.every((part) => ALONE.includes(part)) ? [] : await candidates(folder, upstream.port, notes);
  const proxies = all.filter(({ pid }) => pid > 0);
  const saturated = { mode: "closed", ...plan.saturated } as const;
  const streamed = { mode: "closed", ...plan.streams } as const;
  const run = (
    part: string,
    route: Parameters<typeof compare>[3],
    mode: Parameters<typeof compare>[4],
    who = proxies,
  ): ReturnType<typeof compare> => {
    if (!wanted(part)) return [];
    say(`measuring: ${route}`);
    return compare(helpers, bodies, who, route, mode, plan.rounds);
  };
  const plain = run("plain", "plain", saturated);
  const large = run("10k", "10k", saturated);
  say("measuring: streams");
  const streams = compareRoutes(
    helpers,
    bodies,
    proxies,
    STREAMS.filter(([part]) => wanted(part)).map(([, route]) => route),
    streamed,
    plan.rounds,
  );
  const unpaid = all.filter(({ id }) => id !== "peer" && id !== "wire");
  const latency = new Map(
    wanted("latency") ? plan.rates.map((rate) => [rate, run("latency", "plain", { mode: "open", rate, ...plan.open }, unpaid)]) : [],
  );
  for (const candidate of all) await candidate.stop();
  if (wanted("workers")) say("measuring: two workers");
  const workers = wanted("workers") ? await workersCase(helpers, bodies, folder, upstream.port, plan) : [];
  const idle = wanted("idle") ? await idleCase(folder, helpers, bodies, upstream.port, plan) : undefined;
  await upstream.stop();
  const start = wanted("start") ? await startCase(folder, notes) : undefined;
  const survived = wanted("survive") ? await survive(quick, say) : undefined;
  const figures = await aloneFigures(folder, notes);
  const versions = Object.fromEntries(all.filter(({ version }) => version).map(({ title, version }) => [title, version]));
  return {
    plan,
    plain,
    large,
    stream: streams.get("stream"),
    chatToMessages: streams.get("chat-to-messages"),
    messagesToChat: streams.get("messages-to-chat"),
    latency,
    workers,
    ...(idle && { idle }),
    ...(start && { start }),
    ...(survived && { survive: survived }),
    figures,
    notes,
    versions: { Node: process.version, ...versions },
  };
}

async function aloneFigures(folder: string, notes: string[]): Promise<NonNullable<Measured["figures"]>> {
  if (wanted("local")) say("measuring: a model in process");
  const ofLocal = wanted("local") ? await local(folder) : [];
  if (typeof ofLocal === "string") notes.push(ofLocal);
  if (wanted("embeddings")) say("measuring: embeddings");
  const ofEmbeddings = wanted("embeddings") ? await embeddings(folder) : [];
  return [...(typeof ofLocal === "string" ? [] : ofLocal), ...ofEmbeddings];
}

async function startCase(folder: string, notes: string[]): Promise<Measured["start"]> {
  say("measuring: npm start");
  try {
    return await secondStart(ROOT, folder);
  } catch (error) {
    notes.push(`\`npm start\` could not be measured: ${error instanceof Error ? error.message : String(error)}.`);
    return undefined;
  }
}

/** In a process of its own, whose memory no other case has touched. */
async function idleCase(
  folder: string,
  helpers: Helpers,
  bodies: Bodies,
  upstream: number,
  plan: Measured["plan"],
): Promise<Measured["idle"]> {
  say("measuring: idle streams");
  const subject = existsSync(join(ROOT, "src", "main.ts")) ? await gimbal(folder, upstream) : await wire(upstream);
  const figures = await idleStreams(helpers, bodies, subject, plan);
  await subject.stop();
  return figures;
}

const folder = mkdtempSync(join(tmpdir(), "gimbal-bench-"));
try {
  const measured = await measure(folder);
  const text = report(measured);
  const missed = targetsOf(measured).filter((target) => target.kind === "gate" && isMissed(target));
  process.stdout.write(text);
  if (!quick && only === PARTS) {
    writeFileSync(join(import.meta.dirname, "RESULTS.md"), text);
    say("written to bench/RESULTS.md");
  }
  say(missed.length === 0 ? "every measured gate is met" : `gates not met: ${missed.map(({ what }) => what).join("; ")}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
