import { ProblemError, type ModelOperation, type Problem, type ServedModel, type ServerReport } from "../../canon/index.ts";
import { fetchSmall, type Fetched } from "../listing.ts";
import { at, jsonOf, listAt, nameAt, tokensAt, whyDown, wordsAt, type Ask } from "./read.ts";
import { pullModel } from "./ollama-pull.ts";
import type { ServerKind, ServerParts } from "./types.ts";

/** Models whose details are asked for in one survey; the others come with later ones. */
const SHOWN_AT_ONCE = 50;
/** A model of many gigabytes is read from a slow disk within this. */
const LOAD_MS = 600_000;
const NOT_FOUND = 404;

/** What `/api/show` tells of a model; it changes with the model's digest alone. */
interface Details {
  readonly digest: string;
  /** What the model can hold at most, and the window that its file asks for. */
  readonly mostTokens: number | undefined;
  readonly askedTokens: number | undefined;
  readonly words: readonly string[];
}

/**
 * Source: Ollama, `docs/api.md`: `/api/tags` (what is there), `/api/show` (what a model can), `/api/ps` (what is loaded, with which window),
 * `/api/pull`; "keep_alive" and loading by a call without a prompt. It tells nothing of its queue.
 */
export const ollamaServer: ServerKind = (parts) => {
  const { ask, provider, models } = parts;
  const details = new Map<string, Details>();
  return {
    listedAs: oneName,
    wantsWarm: Object.entries(models).flatMap(([model, { warmUp }]) => (warmUp === true ? [model] : [])),
    explain: (problem, model) => notPulled(problem, provider, model),
    missing: (model) => `is not on the server: run \`${commandFor(provider, model)}\``,
    async survey(_what, signal): Promise<ServerReport> {
      const question = ask(signal);
      const [tags, running] = await Promise.all([question("/api/tags"), question("/api/ps")]);
      const down = whyDown(tags);
      if (down !== undefined) return { up: false, detail: down };
      const list = jsonOf(tags);
      if (!Array.isArray(at(list, "models"))) return { up: true, detail: "it answers, and lists no models" };
      const there = listAt(list, "models");
      await learn(question, there, details);
      const loaded = new Map(listAt(jsonOf(running), "models").map((entry) => [nameAt(entry, "name"), tokensAt(entry, "context_length")]));
      return { up: true, detail: "it answers", complete: true, models: there.flatMap((entry) => served(entry, details, loaded)) };
    },
    pull: (model, signal, onProgress) => pullModel(parts, model, signal, onProgress),
    warmUp: (model, signal) => load(parts, model, signal, [...details].find(([name]) => oneName(name) === oneName(model))?.[1]),
  };
};

/** Names are told apart without their case; what has no tag is its newest version, and what has no owner is of the library. */
function oneName(model: string): string {
  const name = model.toLowerCase().replace(/^(?:registry\.ollama\.ai\/)?(?:library\/)?/, "");
  return name.includes(":", name.lastIndexOf("/") + 1) ? name : `${name}:latest`;
}

function commandFor(provider: string, model: string): string {
  return `gimbal models pull ${provider}/${model}`;
}

/** Asks for the details of models that are new or changed, and forgets those that are gone. */
async function learn(ask: Ask, there: readonly unknown[], details: Map<string, Details>): Promise<void> {
  const names = new Map(there.map((entry) => [nameAt(entry, "name"), nameAt(entry, "digest") ?? ""]));
  for (const name of details.keys()) if (!names.has(name)) details.delete(name);
  const wanted = [...names].filter(([name, digest]) => name !== undefined && details.get(name)?.digest !== digest);
  for (const [name = "", digest] of wanted.slice(0, SHOWN_AT_ONCE)) {
    const fetched = await ask("/api/show", { body: JSON.stringify({ model: name }) });
    // One that did not answer is asked for with the next survey.
    if (fetched.ok) details.set(name, detailsIn(jsonOf(fetched), digest));
    else return;
  }
}

function detailsIn(shown: unknown, digest: string): Details {
  const facts = at(shown, "model_info");
  const architecture = nameAt(facts, "general.architecture") ?? "";
  const parameters = at(shown, "parameters");
  const asked = typeof parameters === "string" ? /^num_ctx\s+(\d{1,10})\s*$/m.exec(parameters)?.[1] : undefined;
  return {
    digest,
    mostTokens: tokensAt(facts, `${architecture}.context_length`),
    askedTokens: tokensAt({ asked }, "asked"),
    words: wordsAt(shown, "capabilities"),
  };
}

function served(
  entry: unknown,
  details: ReadonlyMap<string, Details>,
  loaded: ReadonlyMap<string | undefined, number | undefined>,
): readonly ServedModel[] {
  const name = nameAt(entry, "name");
  if (name === undefined) return [];
  const known = details.get(name);
  // What is beyond the window is cut off without a word, so the window counts and not what the model could hold.
  const windows = [loaded.get(name) ?? known?.askedTokens, known?.mostTokens].filter((tokens) => tokens !== undefined);
  const words = known?.words ?? [];
  const operations: ModelOperation[] = [
    ...(words.includes("completion") ? (["generate"] as const) : []),
    ...(words.includes("embedding") ? (["embed"] as const) : []),
  ];
  const capabilities = { vision: words.includes("vision"), tools: words.includes("tools"), reasoning: words.includes("thinking") };
  return [
    {
      name,
      ...(windows.length > 0 && { contextTokens: Math.min(...windows) }),
      // Older servers tell of no abilities.
      ...(words.length > 0 && { operations }),
      ...(words.includes("completion") && { capabilities }),
      loaded: loaded.has(name),
    },
  ];
}

/** The server's own words name a command of its own, which whoever calls a gateway cannot run. */
function notPulled(problem: Problem, provider: string, model: string): Problem {
  const { upstream } = problem;
  if (upstream?.status !== NOT_FOUND) return problem;
  const said = at(upstream.body, "error");
  const words = typeof said === "string" ? said : nameAt(said, "message");
  // Any other path that is not there is another mistake.
  if (words === undefined || !/model .*not found/i.test(words)) return problem;
  return {
    ...problem,
    message: `The model "${model}" is not on the server of the provider "${provider}": run \`${commandFor(provider, model)}\`.`,
    code: "model_not_pulled",
    upstream: { status: upstream.status, dialect: upstream.dialect, provider: upstream.provider },
  };
}

/** A call without a prompt loads the model and nothing else; one that only embeds takes none of those. */
async function load(
  { patient, headers, clock, provider, models }: ServerParts,
  model: string,
  signal: AbortSignal,
  known: Details | undefined,
): Promise<void> {
  const keepAlive = models[model]?.keepAlive;
  const kept = keepAlive === undefined ? {} : { keep_alive: keepAlive };
  const embeds = known !== undefined && known.words.includes("embedding") && !known.words.includes("completion");
  const body = JSON.stringify(embeds ? { model, input: "warm", ...kept } : { model, stream: false, ...kept });
  const fetched = await fetchSmall(patient(), embeds ? "/api/embed" : "/api/generate", headers(), signal, clock, LOAD_MS, body);
  const why = whyNot(fetched);
  if (why !== undefined)
    throw new ProblemError({ kind: "upstream_unavailable", message: `The model "${provider}/${model}" could not be loaded: ${why}.` });
}

function whyNot(fetched: Fetched): string | undefined {
  if (!fetched.ok) return fetched.problem.message.replace(/\.$/, "");
  if (fetched.status === 200) return undefined;
  return nameAt(jsonOf({ ...fetched, status: 200 }), "error") ?? `the server answered ${fetched.status}`;
}
