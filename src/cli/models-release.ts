import type { ArmFigures, Quantiles, ShadowFigures } from "../ledger/compare.ts";
import { DONE, table, UsageError, wordList, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { askRunning, changeTold, pathOf, type Version } from "./models-change.ts";
import { DATA_FLAG } from "./settings.ts";

const WHOLE = 100;

interface CanaryAnswer {
  readonly model: string;
  readonly canary?: { readonly targets: readonly string[]; readonly percent: number; readonly sticky: string };
  readonly warm?: { readonly target: string; readonly share: number };
  readonly since: number;
  readonly complete: boolean;
  readonly arms: Readonly<Record<string, ArmFigures>>;
}

interface ShadowAnswer {
  readonly shadow?: { readonly target: string; readonly share: number };
  readonly running: number;
  readonly dropped: number;
  readonly targets: readonly ShadowFigures[];
}

const OFF = { off: { meaning: "Take it out." } } as const;

const canary: Command = {
  name: "models canary",
  summary: "Let a part of a model's calls try another target; without options, compare how the parts have gone.",
  operands: ["MODEL"],
  flags: {
    targets: { value: "LIST", meaning: "What is tried, as provider/model, separated by commas." },
    percent: { value: "N", meaning: "How many per cent of the calls, 0 to 100." },
    sticky: { value: "WHAT", meaning: "`session`: a session always goes the same way. `call`: each call is drawn." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const targets = wordList(input, "targets");
    const percent = numberOf(input, "percent", WHOLE);
    const sticky = input.text("sticky");
    if (targets === undefined && percent === undefined && sticky === undefined) return compareArms(input, deps);
    const change = {
      ...(targets && { targets, target: null }),
      ...(percent !== undefined && { percent }),
      ...(sticky !== undefined && { sticky }),
    };
    return changeModel(input, deps, { canary: change });
  },
};

const promote: Command = {
  name: "models promote",
  summary: "Have all of a model's calls go as its canary's went, with its other targets as their fallback.",
  operands: ["MODEL"],
  flags: { alone: { meaning: "Leave no other target." }, ...DATA_FLAG },
  run: (input, deps) => decide(input, deps, "promote", { alone: input.has("alone") }),
};

const abort: Command = {
  name: "models abort",
  summary: "End a model's canary: all of its calls go where they went before.",
  operands: ["MODEL"],
  flags: DATA_FLAG,
  run: (input, deps) => decide(input, deps, "abort", {}),
};

const shadow: Command = {
  name: "models shadow",
  summary: "Send a share of a model's answered calls to another target too and compare; without options, show how they compare.",
  operands: ["MODEL"],
  flags: {
    target: { value: "NAME", meaning: "`provider/model` that gets the copies." },
    share: { value: "X", meaning: "Share of the calls, 0 to 1." },
    ...OFF,
    ...DATA_FLAG,
  },
  run: (input, deps) => member("shadow", input, deps) ?? compareShadow(input, deps),
};

const warm: Command = {
  name: "models warm",
  summary: "Keep another target warm with a share of a model's calls; without options, show how they have gone.",
  operands: ["MODEL"],
  flags: {
    target: { value: "NAME", meaning: "`provider/model` that is kept warm." },
    share: { value: "X", meaning: "Share of the calls, 0 to 1." },
    ...OFF,
    ...DATA_FLAG,
  },
  run: (input, deps) => member("warm", input, deps) ?? compareArms(input, deps),
};

/** Changes `shadow` or `warm` as the options say; undefined when they say nothing. */
function member(name: "shadow" | "warm", input: Input, deps: CliDeps): Promise<number> | undefined {
  const target = input.text("target");
  const share = numberOf(input, "share", 1);
  if (input.has("off")) {
    if (target !== undefined || share !== undefined) throw new UsageError("--off goes with no other option.");
    return changeModel(input, deps, { [name]: null });
  }
  if (target === undefined && share === undefined) return undefined;
  return changeModel(input, deps, { [name]: { ...(target !== undefined && { target }), ...(share !== undefined && { share }) } });
}

async function changeModel(input: Input, deps: CliDeps, change: object): Promise<number> {
  const [model = ""] = input.operands;
  return changeTold(await askRunning<Version>(input, deps, "PATCH", pathOf(model), change), input, deps);
}

async function decide(input: Input, deps: CliDeps, what: "promote" | "abort", body: object): Promise<number> {
  const [model = ""] = input.operands;
  return changeTold(await askRunning<Version>(input, deps, "POST", `${pathOf(model)}/canary/${what}`, body), input, deps);
}

async function compareArms(input: Input, deps: CliDeps): Promise<number> {
  const [model = ""] = input.operands;
  const answer = await askRunning<CanaryAnswer>(input, deps, "GET", `${pathOf(model)}/canary`);
  if (input.json) deps.out(`${JSON.stringify(answer)}\n`);
  else deps.out(armsInWords(answer));
  return DONE;
}

function armsInWords({ model, canary: tried, warm: kept, since, complete, arms }: CanaryAnswer): string {
  const lines = [
    tried ? `${model}: ${tried.percent}% of the ${tried.sticky}s try ${tried.targets.join(", ")}.` : `${model} has no canary.`,
    ...(kept ? [`${kept.target} is kept warm with ${Number((kept.share * WHOLE).toPrecision(3))}% of the calls.`] : []),
    complete ? `Calls${since === 0 ? "" : ` since ${new Date(since).toISOString()}`}:` : "The newest calls:",
  ];
  const rows = Object.entries(arms).map(([name, figures]) => [name, ...cellsOf(figures)]);
  return `${lines.join("\n")}\n${table(["PART", ...HEADINGS], rows)}\n`;
}

const HEADINGS = ["CALLS", "FAILED", "P50 MS", "P95 MS", "FIRST P50", "USD", "USD A CALL", "ANSWERED BY"] as const;
const NANODOLLARS = 1e9;

function cellsOf(figures: ArmFigures): string[] {
  const { calls, failed, failedShare, totalMs, firstOutputMs, costUsd, costPerCallNanodollars, targets } = figures;
  return [
    String(calls),
    failed === 0 ? "0" : `${failed} (${percentOf(failedShare)})`,
    ...quantileCells(totalMs),
    quantileCells(firstOutputMs)[0] ?? "-",
    costUsd,
    costPerCallNanodollars === undefined ? "-" : (costPerCallNanodollars / NANODOLLARS).toFixed(9),
    Object.entries(targets)
      .map(([target, count]) => `${target} ${count}`)
      .join(", ") || "-",
  ];
}

function quantileCells(quantiles: Quantiles | undefined): string[] {
  return quantiles === undefined ? ["-", "-"] : [String(Math.round(quantiles.p50)), String(Math.round(quantiles.p95))];
}

function percentOf(part: number): string {
  return `${Number((part * WHOLE).toPrecision(3))}%`;
}

async function compareShadow(input: Input, deps: CliDeps): Promise<number> {
  const [model = ""] = input.operands;
  const answer = await askRunning<ShadowAnswer>(input, deps, "GET", `/shadow?alias=${encodeURIComponent(model)}`);
  if (input.json) deps.out(`${JSON.stringify(answer)}\n`);
  else deps.out(shadowInWords(model, answer));
  return DONE;
}

function shadowInWords(model: string, { shadow: set, targets, dropped }: ShadowAnswer): string {
  const head = set ? `${percentOf(set.share)} of the calls of ${model} are copied to ${set.target}.` : `${model} has no shadow.`;
  const left = dropped > 0 ? `\n${dropped} copies were left out, because too many ran.` : "";
  if (targets.length === 0) return `${head}${left}\nNo copy was made yet.\n`;
  const rows = targets.map((one) => [
    one.target,
    String(one.shadow.calls),
    String(one.shadow.failed),
    String(one.compared),
    percentOf(one.equalShare),
    one.similarity === undefined ? "-" : percentOf(one.similarity),
    percentOf(one.sameStopShare),
    `${quantileCells(one.shadow.totalMs)[0]} / ${quantileCells(one.original.totalMs)[0]}`,
    `${one.shadow.costUsd} / ${one.original.costUsd}`,
  ]);
  return `${head}${left}\n${table(["COPIED TO", "CALLS", "FAILED", "COMPARED", "EQUAL", "ALIKE", "SAME STOP", "P50 MS / ORIGINAL", "USD / ORIGINAL"], rows)}\n`;
}

/** A number from 0 to a bound. @throws UsageError */
function numberOf(input: Input, flag: string, most: number): number | undefined {
  const text = input.text(flag);
  if (text === undefined) return undefined;
  const number = Number(text);
  if (text.trim() === "" || !(number >= 0 && number <= most))
    throw new UsageError(`--${flag} is a number from 0 to ${most}, not "${text}".`);
  return number;
}

export const RELEASE_COMMANDS: readonly Command[] = [canary, promote, abort, shadow, warm];
