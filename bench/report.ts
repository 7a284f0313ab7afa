import { cpus, release, totalmem } from "node:os";
import type { IdleFigures, Plan, Row, StartFigures } from "./cases.ts";
import { CHUNKS } from "./cases.ts";
import { surviveSection, surviveTargets, type SurviveFigures } from "./survive/figures.ts";

/** Everything measured in one run. */
export interface Measured {
  readonly plan: Plan;
  readonly plain?: readonly Row[];
  readonly large?: readonly Row[];
  readonly stream: readonly Row[] | undefined;
  readonly chatToMessages: readonly Row[] | undefined;
  readonly messagesToChat: readonly Row[] | undefined;
  readonly latency?: ReadonlyMap<number, readonly Row[]>;
  readonly workers?: readonly Row[];
  readonly idle?: IdleFigures;
  readonly start?: StartFigures;
  readonly survive?: SurviveFigures;
  /** Of parts that compare nothing. */
  readonly figures?: readonly Figure[];
  readonly notes: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
}

/** One figure with what it must reach; without a limit it is only told. */
export interface Figure {
  readonly what: string;
  readonly figure: number | undefined;
  readonly limit: number | undefined;
  readonly atLeast?: boolean;
  readonly unit: string;
}

interface Target extends Figure {
  readonly kind: "gate" | "goal";
}

const cpuOf = (rows: readonly Row[] | undefined, id: string): number | undefined => {
  const row = rows?.find(({ candidate }) => candidate.id === id);
  return row && row.median.requests > 0 && row.median.bad === 0 ? row.median.cpuUs : undefined;
};
const over = (a: number | undefined, b: number | undefined): number | undefined => (a === undefined || b === undefined ? undefined : a / b);
const perChunk = (rows: readonly Row[] | undefined): number | undefined => over(cpuOf(rows, "gimbal"), CHUNKS);
/** Of two rows of one case, or of two cases that took turns: the median of what each round says by itself, because noise drifts. */
function paired(
  [a, idOfA]: readonly [readonly Row[] | undefined, string],
  [b, idOfB]: readonly [readonly Row[] | undefined, string],
  compared: (a: number, b: number) => number,
): number | undefined {
  if (cpuOf(a, idOfA) === undefined || cpuOf(b, idOfB) === undefined) return undefined;
  const roundsOf = (rows: typeof a, id: string): readonly number[] => rows?.find(({ candidate }) => candidate.id === id)?.cpuUs ?? [];
  const others = roundsOf(b, idOfB);
  const figures = roundsOf(a, idOfA).map((figure, round) => compared(figure, others[round] ?? Number.NaN));
  return figures.toSorted((x, y) => x - y)[Math.floor(figures.length / 2)];
}
const ratio = (rows: readonly Row[] | undefined, a: string, b: string): number | undefined => paired([rows, a], [rows, b], (x, y) => x / y);
const perChunkAbove = (rows: readonly Row[] | undefined, base: readonly Row[] | undefined): number | undefined =>
  paired([rows, "gimbal"], [base, "gimbal"], (x, y) => (x - y) / CHUNKS);
const minus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a - b;

function latencyTargets(latency: Measured["latency"]): Target[] {
  return [...(latency ?? [])].flatMap(([rate, rows]) => {
    const base = rows.find(({ candidate }) => candidate.id === "nginx") ?? rows.find(({ candidate }) => candidate.id === "direct");
    const ours = rows.find(({ candidate }) => candidate.id === "gimbal");
    const above = base?.candidate.title ?? "";
    const figure = (key: "p50Us" | "p99Us"): number | undefined => minus(ours?.median[key], base?.median[key]);
    return [
      {
        what: `added latency at ${rate} calls/s above ${above}, p50`,
        kind: "gate",
        figure: scaled(figure("p50Us")),
        limit: 0.25,
        unit: "ms",
      },
      { what: `added latency at ${rate} calls/s above ${above}, p99`, kind: "gate", figure: scaled(figure("p99Us")), limit: 1, unit: "ms" },
    ] satisfies Target[];
  });
}
const scaled = (us: number | undefined): number | undefined => over(us, 1000);

export function targetsOf(measured: Measured): Target[] {
  const { plain, large, stream, chatToMessages, messagesToChat, idle, start } = measured;
  const targets: Target[] = [
    { what: "1 kB plain, against the bare proxy", kind: "gate", figure: ratio(plain, "gimbal", "bare"), limit: 1.5, unit: "x" },
    {
      what: "1 kB plain, the peer against Gimbal",
      kind: "gate",
      figure: ratio(plain, "peer", "gimbal"),
      limit: 10,
      atLeast: true,
      unit: "x",
    },
    { what: "1 kB plain", kind: "goal", figure: cpuOf(plain, "gimbal"), limit: 60, unit: "µs" },
    { what: "1 kB plain, against nginx", kind: "goal", figure: ratio(plain, "gimbal", "nginx"), limit: 3.3, unit: "x" },
    { what: "10 kB plain", kind: "goal", figure: cpuOf(large, "gimbal"), limit: 90, unit: "µs" },
    { what: "stream, fast path, a chunk", kind: "gate", figure: perChunk(stream), limit: 32, unit: "µs" },
    {
      what: "stream, chat client on a messages upstream, above the fast path, a chunk",
      kind: "gate",
      figure: perChunkAbove(chatToMessages, stream),
      limit: 2.5,
      unit: "µs",
    },
    {
      what: "stream, messages client on a chat upstream, above the fast path, a chunk",
      kind: "gate",
      figure: perChunkAbove(messagesToChat, stream),
      limit: 2.5,
      unit: "µs",
    },
    ...latencyTargets(measured.latency),
    {
      what: "1 kB plain with limits and budgets, two workers against one process",
      kind: "gate",
      figure: ratio(measured.workers, "workers", "gimbal"),
      limit: 1.15,
      unit: "x",
    },
    {
      what: "the same two workers against two processes that share nothing but the core",
      kind: "goal",
      figure: ratio(measured.workers, "workers", "apart"),
      limit: 1.15,
      unit: "x",
    },
    { what: `memory of an idle stream, ${idle?.open ?? 0} open`, kind: "gate", figure: idle?.kbPerStream, limit: 33, unit: "kB" },
    {
      what: "memory after the idle streams, against before",
      kind: "gate",
      figure: over(idle?.afterKb, idle?.startKb),
      limit: 1.1,
      unit: "x",
    },
    { what: "npm start to ready, second run", kind: "gate", figure: scaled(start?.readyMs), limit: 3, unit: "s" },
    { what: "first answered call after that", kind: "gate", figure: start?.firstCallMs, limit: 50, unit: "ms" },
    ...[...(measured.survive ? surviveTargets(measured.survive) : []), ...(measured.figures ?? [])].map((target) => ({
      ...target,
      kind: "gate" as const,
    })),
  ];
  return targets;
}

/** The whole report as Markdown. */
export function report(measured: Measured): string {
  const { plan } = measured;
  const lines = [
    "# What it costs",
    "",
    "Written by `npm run bench`; do not edit. CPU is that of all threads and processes of the candidate, from the scheduler's own accounts; it is the",
    `stable figure. Medians of ${plan.rounds} interleaved rounds after equal warm-up; a ratio or a difference is the median of what each round says by`,
    "itself. The candidate has one core, load generator and upstream the other.",
    "",
    ...machine(measured),
    "",
    "## Gates and goals",
    "",
    "| what | measured | target | |",
    "|---|--:|--:|---|",
    ...targetsOf(measured).map(targetLine),
    "",
    ...section("1 kB plain call", `closed loop, ${plan.saturated.conns} connections: saturated`, measured.plain, 1),
    ...section("10 kB plain call", `closed loop, ${plan.saturated.conns} connections: saturated`, measured.large, 1),
    ...section(
      `Streamed call, ${CHUNKS} chunks 10 ms apart`,
      `closed loop, ${plan.streams.conns} streams at once; CPU a chunk`,
      measured.stream,
      CHUNKS,
    ),
    ...section("Streamed, chat client on a messages upstream", `as above`, measured.chatToMessages, CHUNKS),
    ...section("Streamed, messages client on a chat upstream", `as above`, measured.messagesToChat, CHUNKS),
    ...[...(measured.latency ?? [])].flatMap(([rate, rows]) =>
      section(`Latency at ${rate} calls/s`, `open loop, 1 kB plain, counted from the moment a call was due`, rows, 1),
    ),
    ...section("Two workers", "as 1 kB plain call, with two budgets; CPU of the primary counts", measured.workers, 1),
    ...idleSection(measured.idle),
    ...(measured.survive ? surviveSection(measured.survive) : []),
    ...(measured.notes.length > 0 ? ["## Notes", "", ...measured.notes.map((note) => `- ${note}`), ""] : []),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

function machine(measured: Measured): string[] {
  const model = cpus()[0]?.model ?? "unknown processor";
  const versions = Object.entries(measured.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `Machine: ${cpus().length} x ${model}, ${Math.round(totalmem() / 2 ** 30)} GB, ${process.platform} ${release()}.`,
    `Versions: ${versions.join(", ")}. Date: ${new Date().toISOString().slice(0, 10)}.`,
  ];
}

/** Is what must be reached missed? What was not measured is not. */
export function isMissed({ figure, limit, atLeast }: Figure): boolean {
  if (figure === undefined || limit === undefined) return false;
  return atLeast ? figure < limit : figure > limit;
}

function targetLine(one: Target): string {
  const { what, kind, figure, limit, atLeast, unit } = one;
  if (limit === undefined) return `| ${what} | ${figure === undefined ? "not measured" : `${rounded(figure)} ${unit}`} | | |`;
  const target = `${kind === "goal" ? "goal " : ""}${atLeast ? "≥" : "≤"} ${limit} ${unit}`;
  if (figure === undefined) return `| ${what} | not measured | ${target} | |`;
  return `| ${what} | ${rounded(figure)} ${unit} | ${target} | ${isMissed(one) ? "**not met**" : "met"} |`;
}

function section(title: string, load: string, rows: readonly Row[] | undefined, divisor: number): string[] {
  if (!rows || rows.length === 0) return [];
  return [
    `## ${title}`,
    "",
    `Load: ${load}.`,
    "",
    "| candidate | CPU µs | rounds | calls/s | cores busy | p50 ms | p99 ms | first byte p50 ms |",
    "|---|--:|---|--:|--:|--:|--:|--:|",
    ...rows.map(({ candidate, median, cpuUs }) => {
      const name = `${candidate.title}${candidate.version ? ` ${candidate.version}` : ""}`;
      if (median.requests === 0 || median.bad > 0) return `| ${name} | failed | ${median.bad} answers were not 200 | | | | | |`;
      const cpu = candidate.pid > 0 ? rounded(median.cpuUs / divisor) : "–";
      const rounds = candidate.pid > 0 ? cpuUs.map((us) => rounded(us / divisor)).join(", ") : "";
      const busy = candidate.pid > 0 ? median.busy.toFixed(2) : "–";
      return `| ${name} | ${cpu} | ${rounds} | ${Math.round(median.perSecond)} | ${busy} | ${ms(median.p50Us)} | ${ms(median.p99Us)} | ${ms(median.firstP50Us)} |`;
    }),
    "",
  ];
}

function idleSection(idle: IdleFigures | undefined): string[] {
  if (!idle) return [];
  return [
    "## Idle streams",
    "",
    `Asked for ${idle.asked}${idle.asked < idle.wanted ? ` (${idle.wanted} wanted; the limit of file descriptors allows no more)` : ""}, open ${idle.open}, refused with another status ${idle.refused}, lost ${idle.lost}.`,
    `Memory: ${mb(idle.startKb)} MB before, ${mb(idle.rssKb)} MB with all of them open, ${mb(idle.afterKb)} MB after. Before and after were read behind the same ordinary traffic. CPU while idle: ${(idle.idleBusy * 100).toFixed(2)} % of a core.`,
    "",
  ];
}

const rounded = (figure: number): string => figure.toFixed(Math.abs(figure) >= 100 ? 0 : Math.abs(figure) >= 10 ? 1 : 2);
const ms = (us: number): string => (us / 1000).toFixed(2);
const mb = (kb: number): string => (kb / 1024).toFixed(1);
