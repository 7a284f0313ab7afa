/** The load generator where there is no C compiler. Same options and output as native/load.c. */
import { readdirSync, readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";

const options = new Map<string, string>();
const headers: Record<string, string> = { "content-type": "application/json", accept: "application/json", "user-agent": "bench/1" };
for (let at = 2; at + 1 < process.argv.length; at += 2) {
  const name = process.argv[at] ?? "";
  const value = process.argv[at + 1] ?? "";
  if (name === "--header") headers[value.slice(0, value.indexOf(":"))] = value.slice(value.indexOf(":") + 1).trim();
  else options.set(name.slice(2), value);
}
const number = (name: string): number => Number(options.get(name) ?? 0);
const pids = (options.get("pids") ?? "").split(",").filter(Boolean);
const body = readFileSync(options.get("body") ?? "");
const conns = number("conns");
const agent = new Agent({ keepAlive: true, maxSockets: conns });

const totals: number[] = [];
const firsts: number[] = [];
let errors = 0;
let bad = 0;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
function cpuNs(): number {
  let sum = 0;
  for (const pid of pids) {
    try {
      for (const task of readdirSync(`/proc/${pid}/task`)) sum += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(" ")[0]);
    } catch {
      // No /proc here, or the process is gone.
    }
  }
  return sum;
}
function rssKb(): number {
  return pids.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0), 0);
}

interface Shot {
  readonly sent: ClientRequest;
  readonly firstMs: Promise<number>;
  readonly over: Promise<{ readonly ok: boolean; readonly firstMs: number; readonly totalMs: number }>;
}

function shoot(due: number): Shot {
  const first = Promise.withResolvers<number>();
  const over = Promise.withResolvers<{ ok: boolean; firstMs: number; totalMs: number }>();
  const failed = (): void => {
    errors++;
    over.resolve({ ok: false, firstMs: 0, totalMs: 0 });
  };
  const address = { host: "127.0.0.1", port: number("port"), path: options.get("path") ?? "/", method: "POST" };
  const sent = request({ ...address, headers: { ...headers, "content-length": body.length }, agent }, (answer: IncomingMessage) => {
    let firstMs = -1;
    if (answer.statusCode !== 200) bad++;
    answer.on("data", () => {
      if (firstMs < 0) first.resolve((firstMs = performance.now() - due));
    });
    answer.on("end", () => over.resolve({ ok: true, firstMs, totalMs: performance.now() - due }));
    answer.on("error", failed);
  });
  sent.on("error", failed);
  sent.end(body);
  return { sent, firstMs: first.promise, over: over.promise };
}

const at = (sorted: readonly number[], share: number): number => Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 1000);
const print = (figures: object): void => void process.stdout.write(`${JSON.stringify(figures)}\n`);

function report(began: number, cpu0: number): void {
  const wallMs = performance.now() - began;
  const cpu = cpuNs() - cpu0;
  for (const list of [totals, firsts]) list.sort((a, b) => a - b);
  const requests = totals.length;
  print({
    requests,
    errors,
    bad,
    perSecond: (requests * 1000) / wallMs,
    cpuUs: cpu / 1000 / Math.max(1, requests),
    busy: cpu / (wallMs * 1e6),
    p50Us: at(totals, 0.5),
    p90Us: at(totals, 0.9),
    p99Us: at(totals, 0.99),
    firstP50Us: at(firsts, 0.5),
    firstP99Us: at(firsts, 0.99),
    rssKb: rssKb(),
  });
}

async function closed(): Promise<void> {
  let answered = 0;
  let began = 0;
  let cpu0 = 0;
  const over = (): boolean =>
    totals.length >= number("count") ||
    errors > 1000 ||
    (began > 0 && number("secs") > 0 && performance.now() - began > number("secs") * 1000);
  const one = async (): Promise<void> => {
    while (!over()) {
      const shot = await shoot(performance.now()).over;
      if (began > 0 && shot.ok) {
        totals.push(shot.totalMs);
        firsts.push(shot.firstMs);
      } else if (++answered >= number("warm")) {
        began = performance.now();
        cpu0 = cpuNs();
      }
    }
  };
  await Promise.all(Array.from({ length: conns }, one));
  report(began, cpu0);
}

async function open(): Promise<void> {
  const stepMs = 1000 / number("rate");
  const start = performance.now();
  const from = start + number("warm") * 1000;
  const until = from + number("secs") * 1000;
  let next = start;
  let began = 0;
  let cpu0 = 0;
  while (performance.now() < until) {
    if (began === 0 && performance.now() >= from) {
      began = performance.now();
      cpu0 = cpuNs();
    }
    for (; next <= performance.now(); next += stepMs) {
      const due = next;
      void shoot(due).over.then((shot) => {
        if (!shot.ok || due < from) return false;
        firsts.push(shot.firstMs);
        return totals.push(shot.totalMs) > 0;
      });
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  report(began, cpu0);
}

async function hold(): Promise<void> {
  const rssBeforeKb = rssKb();
  const began: Promise<number>[] = [];
  for (let nth = 0; nth < conns; nth++) {
    began.push(shoot(performance.now()).firstMs);
    if (nth % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  let streams = 0;
  for (const first of began) void first.then(() => streams++);
  await new Promise((resolve) => setTimeout(resolve, number("secs") * 500));
  const cpu0 = cpuNs();
  const half = performance.now();
  await new Promise((resolve) => setTimeout(resolve, number("secs") * 500));
  const after = rssKb();
  const good = streams - bad;
  print({
    asked: conns,
    open: good,
    refused: bad,
    lost: errors,
    rssBeforeKb,
    rssKb: after,
    kbPerStream: (after - rssBeforeKb) / Math.max(1, good),
    idleBusy: (cpuNs() - cpu0) / ((performance.now() - half) * 1e6),
  });
}

const modes: Readonly<Record<string, () => Promise<void>>> = { closed, open, hold };
await modes[options.get("mode") ?? "closed"]?.();
process.exit(0);
