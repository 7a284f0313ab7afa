import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  ProblemError,
  type Call,
  type Caller,
  type Dialect,
  type JsonObject,
  type Needs,
  type Operation,
  type Scopes,
} from "../canon/index.ts";
import { snapshotOf } from "../config/index.ts";
import { dialects } from "../dialects/registry.generated.ts";
import { nearest, openJson, parseJson } from "../kit/index.ts";
import { explainFully } from "../routing/explain.ts";
import { CallFacts, type FactsSource } from "../routing/facts.ts";
import { nameOf } from "../routing/order/index.ts";
import { Planner, type Plan } from "../routing/plan.ts";
import { CommandError, DONE, UsageError, table, wholeNumber, wordList, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { pricesOf } from "./ledger-reprice.ts";
import { CONFIG_FLAG, loadConfig, settingsOf } from "./settings.ts";

/** As deep as the gateway reads by default. */
const JSON_DEPTH = 128;
const HIGHEST_TIER = 4;
const NO_LABELS: readonly string[] = [];

/** A request in a file, understood as one language's. */
interface ReadRequest {
  readonly dialect: Dialect;
  readonly body: JsonObject;
  readonly characters: number;
  readonly call: Call;
}

export const explainCommand: Command = {
  name: "explain",
  summary: "Explain where a request in a file would go, and why. Nothing is sent.",
  operands: ["FILE"],
  flags: {
    ...CONFIG_FLAG,
    dialect: {
      value: "NAME",
      meaning: `Wire language of the request: ${[...dialects.keys()].join(", ")}. Default: whichever can read it.`,
    },
    model: { value: "NAME", meaning: "Instead of the request's own model." },
    key: { value: "NAME", meaning: "Plan as for a key of this name. Default: a caller without a key." },
    team: { value: "NAME", meaning: "The key's team." },
    project: { value: "NAME", meaning: "The key's project." },
    tags: { value: "A,B", meaning: "The key's tags." },
    tier: { value: "N", meaning: `The key's highest data tier, 0 to ${HIGHEST_TIER}.` },
    metadata: { value: "JSON", meaning: "As in the header x-gimbal-metadata." },
    session: { value: "NAME", meaning: "As in the header x-gimbal-session." },
    at: { value: "TIME", meaning: "Plan as at this time, such as 2026-01-31T22:00Z. Default: now." },
  },
  async run(input, deps) {
    const request = await readRequest(input, deps);
    const { configFile } = settingsOf(input, deps);
    const { config, warnings } = await loadConfig(configFile, deps);
    for (const warning of warnings) deps.err(`${warning}\n`);
    const providers = await deps.openProviders(config);
    try {
      const caller = callerOf(input);
      const source = new FileFacts(request, caller, input, timeOf(input, deps));
      const snapshot = snapshotOf(config, 0, providers);
      const book = deps.book(config, await pricesOf(configFile, config));
      const asked = { snapshot, caller, model: source.model, facts: new CallFacts(source), at: source.at, book };
      const planner = new Planner(deps.randomness);
      const rating = planner.wantsRating(asked);
      const plan = planned(() => planner.plan(asked));
      const explained = { dialect: request.dialect.id, ...explainFully(plan, asked), ...(rating && { wouldAsk: rating.model }) };
      deps.out(input.json ? `${JSON.stringify(explained)}\n` : inWords(plan, asked.facts, request.dialect, rating?.model));
      return DONE;
    } finally {
      await Promise.all([...providers.values()].map((provider) => provider.close()));
    }
  },
};

/** What the caller would be told is what the command says. */
function planned(work: () => Plan): Plan {
  try {
    return work();
  } catch (error) {
    if (error instanceof ProblemError) throw new CommandError(`${error.problem.kind}: ${error.problem.message}`);
    throw error;
  }
}

async function readRequest(input: Input, deps: CliDeps): Promise<ReadRequest> {
  const [name = ""] = input.operands;
  const file = resolve(deps.cwd, name);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const opened = openJson(bytes, { depth: JSON_DEPTH });
  if (!opened.ok) throw new CommandError(`${name}: ${opened.message}`);
  const { value, text } = opened.document;
  const failures: string[] = [];
  let silent: ReadRequest | undefined;
  for (const dialect of candidates(input.text("dialect"))) {
    try {
      const call = dialect.decodeCall(value, { operation: "generate", headers: {}, params: {} });
      const asked = { dialect, body: value, characters: text.length, call };
      // A lenient language reads another's request too, and finds nothing said in it.
      if (call.items.length > 0) return asked;
      silent ??= asked;
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      failures.push(`${dialect.title}: ${error.message}`);
    }
  }
  if (silent) return silent;
  throw new CommandError(`${name} is no request in a language known here.\n${failures.join("\n")}`);
}

/** The language that lists models for everybody else is the one most clients speak: it is tried first. */
function candidates(named: string | undefined): readonly Dialect[] {
  if (named === undefined) {
    const usual = (dialect: Dialect): number => (dialect.encodeModels && !dialect.answersModels ? 0 : 1);
    return [...dialects.values()].toSorted((a, b) => usual(a) - usual(b));
  }
  const dialect = dialects.get(named);
  if (dialect) return [dialect];
  const like = nearest(named, dialects.keys());
  throw new UsageError(
    `There is no wire language "${named}".${like ? ` Did you mean "${like}"?` : ` Known: ${[...dialects.keys()].join(", ")}.`}`,
  );
}

function callerOf(input: Input): Caller {
  const name = input.text("key");
  const team = input.text("team");
  const project = input.text("project");
  const tags = wordList(input, "tags");
  const tier = wholeNumber(input, "tier", 0, HIGHEST_TIER);
  const scopes: Scopes = tier === undefined ? {} : { tier };
  return {
    id: "explain",
    scope: "explain",
    name: name ?? "anonymous",
    ...(team !== undefined && { team }),
    ...(project !== undefined && { project }),
    ...(tags && { tags }),
    scopes,
    limits: [],
    anonymous: name === undefined,
  };
}

/** @throws UsageError */
function timeOf(input: Input, deps: CliDeps): number {
  const text = input.text("at");
  if (text === undefined) return deps.clock.now();
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new UsageError(`--at is a time such as 2026-01-31T22:00Z, not "${text}".`);
  return at;
}

/** @throws UsageError */
function metadataOf(input: Input): JsonObject | undefined {
  const text = input.text("metadata");
  if (text === undefined) return undefined;
  const value = parseJson(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`--metadata is a JSON object such as '{"plan":"gold"}'.`);
  return value as JsonObject;
}

/** The facts of a request that is not under way. */
class FileFacts implements FactsSource {
  readonly caller: Caller;
  readonly at: number;
  readonly model: string;
  readonly metadata: JsonObject | undefined;
  readonly session: string | undefined;
  readonly operation: Operation = "generate";
  readonly labels = NO_LABELS;
  readonly #request: ReadRequest;

  constructor(request: ReadRequest, caller: Caller, input: Input, at: number) {
    this.#request = request;
    this.caller = caller;
    this.at = at;
    this.model = input.text("model") ?? request.call.model;
    this.metadata = metadataOf(input);
    this.session = input.text("session");
  }
  get stream(): boolean {
    return this.#request.call.stream;
  }
  get characters(): number {
    return this.#request.characters;
  }
  get maxOutputTokens(): number | undefined {
    return this.#request.call.maxOutputTokens;
  }
  get previousId(): string | undefined {
    return this.#request.call.previousId;
  }
  needs(): Needs | undefined {
    const { dialect, body } = this.#request;
    return dialect.needs?.(body);
  }
  call(): Call {
    return this.#request.call;
  }
  remainingUsd(): number {
    return Number.POSITIVE_INFINITY;
  }
}

function inWords(plan: Plan, facts: CallFacts, dialect: Dialect, wouldAsk: string | undefined): string {
  const { alias, strategy, rules, arm, steps, skipped } = plan;
  const needs = facts.needWords.length > 0 ? `; needs ${facts.needWords.join(", ")}` : "";
  const { score, parts } = facts.complexity;
  const made = parts.length > 0 ? ` (${parts.map(({ what, points }) => `${what}: ${points}`).join(", ")})` : "";
  const lines = [
    `${alias.name}: ${strategy}`,
    `Read as ${dialect.title}: about ${facts.inputTokens} input tokens${needs}; complexity ${score}${made}.`,
    ...(wouldAsk === undefined ? [] : [`The gateway would ask ${wouldAsk} how demanding it is; here that is counted.`]),
    ...(rules ?? []).map(({ rule, matched, reason }) => `Rule ${rule.name} ${matched ? "matches" : "does not match"}: ${reason}.`),
    ...(arm ? [`Part ${arm.name}: ${arm.reason}.`] : []),
  ];
  const rows = [
    ...steps.map(({ target, reason }, place) => [String(place + 1), nameOf(target), reason]),
    ...skipped.map(({ target, reason }) => ["-", nameOf(target), `skipped: ${reason}`]),
  ];
  return `${lines.join("\n")}\n\n${table(["", "TARGET", "WHY"], rows)}\n`;
}
