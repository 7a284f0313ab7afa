import type { LineageRecord, LineageStore } from "../../canon/index.ts";
import { callLink, turnLink } from "./record.ts";

/** Steps away from where the question began. */
export const MOST_STEPS = 16;
/** Calls in one answer, and calls that share one thing. */
const MOST_CALLS = 500;
const MOST_SHARING = 100;

/** One call on the way, and what ties it to the one before. */
export interface Traced {
  readonly call: string;
  readonly via: string;
  readonly from: string;
  readonly steps: number;
  readonly record: LineageRecord;
}

export interface Trace {
  readonly calls: readonly Traced[];
  /** False: there is more than is listed. */
  readonly complete: boolean;
}

export interface TraceQuery {
  readonly steps: number;
  /** Calls of others are passed over, with all that lies behind them. */
  readonly mayShow: (record: LineageRecord) => boolean;
}

/** What produced this: the calls whose answers went into it, and into them. */
export function sourcesOf(store: LineageStore, start: LineageRecord, query: TraceQuery): Promise<Trace> {
  return walk([start], query, (record) => sourceSteps(store, record));
}

/** What this influenced: the calls that were given its answer, and those that were given theirs. */
export function influencedBy(store: LineageStore, start: LineageRecord, query: TraceQuery): Promise<Trace> {
  return walk([start], query, (record) => influenceSteps(store, record));
}

/** The same of a document, a file, a tool's result or an earlier output, by its hash. */
export async function influencedByHash(store: LineageStore, name: string, query: TraceQuery): Promise<Trace> {
  const first = (await store.find("in", name, MOST_SHARING)).filter(query.mayShow);
  const begun = first.map((record): Traced => ({ call: record.callId, via: name, from: name, steps: 1, record }));
  const further = await walk(first, { ...query, steps: query.steps - 1 }, (record) => influenceSteps(store, record));
  return {
    calls: [...begun, ...further.calls.map((one) => ({ ...one, steps: one.steps + 1 }))].slice(0, MOST_CALLS),
    complete: further.complete && first.length < MOST_SHARING,
  };
}

type Step = readonly [via: string, record: LineageRecord];

interface Steps {
  readonly found: readonly Step[];
  readonly complete: boolean;
}

async function sourceSteps(store: LineageStore, record: LineageRecord): Promise<Steps> {
  const direct: Step[] = [];
  const paid = record.cacheOrigin === undefined ? undefined : await store.read(record.cacheOrigin);
  if (paid) direct.push(["cache", paid]);
  const before = record.previous === undefined ? [] : await store.find("out", turnLink(record, record.previous), 1);
  for (const found of before) direct.push(["turn", found]);
  const results = record.tools.flatMap(({ result }) => result ?? []);
  const names = [...results, ...record.documents.filter(({ kind }) => kind !== "instructions").map((document) => document.hash)];
  return shared(store, "out", names, direct, record.at);
}

async function influenceSteps(store: LineageStore, record: LineageRecord): Promise<Steps> {
  const given = await store.find("in", callLink(record.callId), MOST_SHARING);
  const next = record.turn === undefined ? [] : await store.find("in", turnLink(record, record.turn), MOST_SHARING);
  const direct = [...given.map((found): Step => ["cache", found]), ...next.map((found): Step => ["turn", found])];
  const names = [record.output, record.answer].filter((name) => name !== undefined);
  const { found, complete } = await shared(store, "in", names, direct, undefined);
  // What was given before it was made is a coincidence of words.
  return {
    found: found.filter(([, later]) => later.at >= record.at),
    complete: complete && given.length < MOST_SHARING && next.length < MOST_SHARING,
  };
}

/** @param before what is younger cannot be a source */
async function shared(
  store: LineageStore,
  role: "in" | "out",
  names: readonly string[],
  direct: readonly Step[],
  before: number | undefined,
): Promise<Steps> {
  const found = [...direct];
  let complete = true;
  for (const name of new Set(names)) {
    const sharing = await store.find(role, name, MOST_SHARING);
    complete &&= sharing.length < MOST_SHARING;
    for (const record of sharing) if (before === undefined || record.at <= before) found.push([name, record]);
  }
  return { found, complete };
}

async function walk(starts: readonly LineageRecord[], query: TraceQuery, next: (record: LineageRecord) => Promise<Steps>): Promise<Trace> {
  const seen = new Set(starts.map(({ callId }) => callId));
  const calls: Traced[] = [];
  let complete = true;
  let edge = starts;
  for (let steps = 1; steps <= query.steps && edge.length > 0; steps++) {
    const reached: LineageRecord[] = [];
    for (const from of edge) {
      const { found, complete: all } = await next(from);
      complete &&= all;
      for (const [via, record] of found) {
        if (seen.has(record.callId) || !query.mayShow(record)) continue;
        if (calls.length >= MOST_CALLS) return { calls, complete: false };
        seen.add(record.callId);
        calls.push({ call: record.callId, via, from: from.callId, steps, record });
        reached.push(record);
      }
    }
    edge = reached;
  }
  return { calls, complete };
}
