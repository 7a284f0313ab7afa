/** What is measured of calls that survive. A figure that could not be measured is absent. */
export interface SurviveFigures {
  /** CPU of planning, health and journal: the whole gateway, less the same with a fixed plan, no health and no journal. */
  readonly overhead: { readonly plainUs: Compared; readonly chunkUs: Compared };
  readonly cut: CutFigures;
  readonly refused: { readonly calls: number; readonly healthyP99Ms: number; readonly failingP99Ms: number; readonly addedP99Ms: number };
  readonly breaker: { readonly opensAfter: number; readonly probesToClose: number; readonly askedWhileDown: number };
  readonly identical: { readonly calls: number; readonly upstreamCalls: number; readonly answered: number };
  readonly resume: { readonly readers: number; readonly whileRunning: number; readonly wrong: number };
}

export interface Compared {
  readonly with: number;
  readonly without: number;
  readonly added: number;
}

export interface CutFigures {
  readonly streams: number;
  readonly cut: number;
  readonly complete: number;
  readonly damaged: number;
  readonly continuations: number;
  /** Of what was paid, the part that one undisturbed attempt for each answer would not have cost. */
  readonly addedShare: number;
}

/** Targets as the report shows them. */
export function surviveTargets({ overhead, cut, refused, breaker, identical, resume }: SurviveFigures): readonly SurviveTarget[] {
  return [
    { what: "planning, health and journal, a plain call", figure: overhead.plainUs.added, limit: 8, unit: "µs" },
    { what: "planning, health and journal, a streamed chunk", figure: overhead.chunkUs.added, limit: 1, unit: "µs" },
    {
      what: "streams cut at a random byte that end whole",
      figure: (cut.complete / cut.streams) * 100,
      limit: 100,
      atLeast: true,
      unit: "%",
    },
    { what: "fail-over on a refused connection, added p99", figure: refused.addedP99Ms, limit: 5, unit: "ms" },
    { what: "failures until a breaker opens", figure: breaker.opensAfter, limit: 10, unit: "" },
    { what: "probes after recovery until it closes", figure: breaker.probesToClose, limit: 1, unit: "" },
    { what: `${identical.calls} identical calls in flight, upstream calls`, figure: identical.upstreamCalls, limit: 1, unit: "" },
    {
      what: `${resume.readers} readers who come back at a random place, with an event lost or repeated`,
      figure: resume.wrong,
      limit: 0,
      unit: "",
    },
  ];
}

export interface SurviveTarget {
  readonly what: string;
  readonly figure: number;
  readonly limit: number;
  readonly atLeast?: boolean;
  readonly unit: string;
}

/** The section of the report. */
export function surviveSection(figures: SurviveFigures): string[] {
  const { overhead, cut, refused, breaker, identical, resume } = figures;
  const us = ({ with: all, without }: Compared): string => `${all.toFixed(1)} µs with, ${without.toFixed(1)} µs without`;
  return [
    "## Calls that survive",
    "",
    "In one process, without sockets but for the refused connection and the readers who come back; CPU of all threads, medians of interleaved rounds.",
    "",
    `- Planning, health and journal against a fixed plan, no health and no journal: a plain call ${us(overhead.plainUs)}; a streamed chunk ${us(overhead.chunkUs)}.`,
    `- ${cut.cut} of ${cut.streams} streams cut at a random byte, reset or ended early, in every language, forwarded and translated, with a healthy second target: ${cut.complete} complete, ${cut.damaged} with text lost or repeated, ${cut.continuations} continuations, ${(cut.addedShare * 100).toFixed(1)} % of all that was paid was for them.`,
    `- Refused connection, ${refused.calls} calls each, one after the other: p99 ${refused.healthyP99Ms.toFixed(2)} ms at a healthy target, ${refused.failingP99Ms.toFixed(2)} ms when the first refuses.`,
    `- Breaker: opened after ${breaker.opensAfter} failures, asked ${breaker.askedWhileDown} times more while the target was down for a minute, closed with probe ${breaker.probesToClose} after it was back.`,
    `- ${identical.calls} identical calls in flight: ${identical.upstreamCalls} upstream, ${identical.answered} answered.`,
    `- ${resume.readers} readers who come back at a random place over HTTP, ${resume.whileRunning} of them while the call runs: ${resume.wrong} got anything but the rest, byte for byte.`,
    "",
  ];
}
