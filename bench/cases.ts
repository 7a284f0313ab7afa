import { request } from "node:http";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Candidate, Route } from "./candidates.ts";
import type { Helpers, HoldResult, LoadMode, LoadRequest, LoadResult } from "./load.ts";
import { fileLimit, pause, residentKb, start, readyPort } from "./processes.ts";

export const CHUNKS = 50;
/** Descriptors that the load generator, the upstream and the gateway need beside those of the streams. */
const SPARE_DESCRIPTORS = 200;
const IDLE_STREAMS = 9_000;
const ORDINARY_TRAFFIC = { mode: "closed", conns: 32, warm: 0, count: 20_000, secs: 10 } as const;
/** What the garbage collector frees goes back to the system with a delay. */
const SETTLE_MS = 5_000;

export interface Plan {
  readonly rounds: number;
  readonly saturated: { readonly conns: number; readonly warm: number; readonly count: number; readonly secs: number };
  readonly streams: { readonly conns: number; readonly warm: number; readonly count: number; readonly secs: number };
  readonly open: { readonly conns: number; readonly warm: number; readonly secs: number };
  readonly rates: readonly number[];
  readonly idle: { readonly streams: number; readonly secs: number; readonly afterSecs: number };
}
export const FULL: Plan = {
  rounds: 5,
  saturated: { conns: 32, warm: 20_000, count: 40_000, secs: 8 },
  streams: { conns: 300, warm: 600, count: 3_000, secs: 10 },
  open: { conns: 64, warm: 2, secs: 6 },
  rates: [500, 1_000],
  idle: { streams: IDLE_STREAMS, secs: 20, afterSecs: 40 },
};
export const QUICK: Plan = {
  rounds: 3,
  saturated: { conns: 32, warm: 4_000, count: 10_000, secs: 2 },
  streams: { conns: 200, warm: 200, count: 600, secs: 3 },
  open: { conns: 64, warm: 1, secs: 2 },
  rates: [500, 1_000],
  idle: { streams: 1_000, secs: 4, afterSecs: 10 },
};

export interface Row {
  readonly candidate: Candidate;
  /** The median of the rounds, figure by figure. */
  readonly median: LoadResult;
  /** CPU microseconds of each round, so that a reader sees the spread. */
  readonly cpuUs: readonly number[];
}

/** Runs a case on every candidate that can do it, the rounds interleaved so that a noisy minute hits all alike. */
export function compare(
  helpers: Helpers,
  bodies: Bodies,
  candidates: readonly Candidate[],
  route: Route,
  mode: LoadMode,
  rounds: number,
): readonly Row[] {
  return compareRoutes(helpers, bodies, candidates, [route], mode, rounds).get(route) ?? [];
}

/** The same for several cases whose figures are set against each other: they take turns within every round. */
export function compareRoutes(
  helpers: Helpers,
  bodies: Bodies,
  candidates: readonly Candidate[],
  routes: readonly Route[],
  mode: LoadMode,
  rounds: number,
): ReadonlyMap<Route, readonly Row[]> {
  const runs = new Map(routes.map((route) => [route, new Map<Candidate, LoadResult[]>()]));
  for (let round = 0; round < rounds; round++) {
    for (const [route, results] of runs) {
      for (const candidate of candidates) {
        const ask = requestOf(candidate, route, bodies);
        if (ask) results.set(candidate, [...(results.get(candidate) ?? []), helpers.load(ask, mode)]);
      }
    }
  }
  return new Map([...runs].map(([route, results]) => [route, [...results].map(rowOf)]));
}

export function rowOf([candidate, results]: readonly [Candidate, readonly LoadResult[]]): Row {
  return { candidate, median: medianOf(results), cpuUs: results.map((result) => result.cpuUs) };
}

export function requestOf(candidate: Candidate, route: Route, bodies: Bodies): LoadRequest | undefined {
  const call = candidate.call(route);
  return call && { port: candidate.port, path: call.path, headers: call.headers, pid: candidate.pid, body: bodies.file(call.model, route) };
}

function medianOf(results: readonly LoadResult[]): LoadResult {
  const pick = (key: keyof LoadResult): number => {
    const sorted = results.map((result) => result[key]).toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  };
  return {
    requests: pick("requests"),
    errors: Math.max(...results.map((result) => result.errors)),
    bad: Math.max(...results.map((result) => result.bad)),
    perSecond: pick("perSecond"),
    cpuUs: pick("cpuUs"),
    busy: pick("busy"),
    p50Us: pick("p50Us"),
    p90Us: pick("p90Us"),
    p99Us: pick("p99Us"),
    firstP50Us: pick("firstP50Us"),
    firstP99Us: pick("firstP99Us"),
    rssKb: pick("rssKb"),
  };
}

/** Request bodies on disk: about 850 bytes, 10 kB for that case. */
export class Bodies {
  readonly #folder: string;
  constructor(folder: string) {
    this.#folder = folder;
  }
  file(model: string, route: Route): string {
    const path = join(this.#folder, `${route}-${model}.json`);
    const question =
      "Explain in a few sentences why a gateway between agents and models should keep exactly one row for every call, what that row should hold, and how a person can tell from it which model answered. ";
    const content = question.repeat(route === "10k" ? 52 : 3);
    const stream = route !== "plain" && route !== "10k";
    const messages = [{ role: "user", content }];
    writeFileSync(path, JSON.stringify({ model, messages, max_tokens: 256, temperature: 0.2, ...(stream && { stream: true }) }));
    return path;
  }
}

export interface IdleFigures extends HoldResult {
  /** Resident memory after ordinary traffic, before the streams and some time after they closed. */
  readonly startKb: number;
  readonly afterKb: number;
  readonly wanted: number;
}

/** Streams that have begun and then say nothing. */
export async function idleStreams(helpers: Helpers, bodies: Bodies, candidate: Candidate, plan: Plan): Promise<IdleFigures | undefined> {
  const ask = requestOf(candidate, "idle", bodies);
  if (!ask) return undefined;
  // A stream takes two descriptors in the gateway, which keeps some for itself.
  const streams = Math.min(plan.idle.streams, Math.floor((fileLimit() - SPARE_DESCRIPTORS) / 2));
  // Memory is read in the same situation before and after, because nothing is collected from a process that does nothing.
  const settled = async (): Promise<number> => {
    compare(helpers, bodies, [candidate], "plain", ORDINARY_TRAFFIC, 1);
    await pause(SETTLE_MS);
    return residentKb(candidate.pid);
  };
  const startKb = await settled();
  const held = helpers.hold(ask, streams, plan.idle.secs);
  await pause(plan.idle.afterSecs * 1000);
  // Counted from before the connections were made: they are part of a stream's price.
  const kbPerStream = (held.rssKb - startKb) / Math.max(1, held.open);
  return { ...held, kbPerStream, startKb, afterKb: await settled(), wanted: plan.idle.streams };
}

export interface StartFigures {
  readonly readyMs: number;
  readonly firstCallMs: number;
}

/** `npm start` for the second time on a data folder, and the first call after it, answered by the simulator. */
export async function secondStart(root: string, folder: string): Promise<StartFigures> {
  let figures = { readyMs: 0, firstCallMs: 0 };
  for (let time = 0; time < 2; time++) {
    const began = performance.now();
    const child = start("any", "npm", ["start", "--silent", "--", "--port", "0", "--data", join(folder, "start")], {}, root);
    const port = await readyPort(child);
    const readyMs = performance.now() - began;
    try {
      figures = { readyMs, firstCallMs: await firstCall(port) };
    } finally {
      await child.stop();
    }
  }
  return figures;
}

async function firstCall(port: number): Promise<number> {
  const body = JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "hello" }] });
  const began = performance.now();
  const status = await new Promise<number>((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request({ host: "127.0.0.1", port, path: "/v1/chat/completions", method: "POST", headers }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
    });
    sent.on("error", reject);
    sent.end(body);
  });
  if (status !== 200) throw new Error(`the first call was answered ${status}`);
  return performance.now() - began;
}
