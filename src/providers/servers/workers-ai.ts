import type { ModelOperation, Problem, ServedModel, ServerReport } from "../../canon/index.ts";
import { at, jsonOf, listAt, nameAt, tokensAt } from "./read.ts";
import { asNamed, type ServerKind } from "./types.ts";

/** Its catalogue changes by the day, and it is far away. */
const EVERY_MS = 600_000;
/** All pages together. */
const ANSWER_MS = 30_000;
const PER_PAGE = 100;
const MOST_PAGES = 20;

/** What its tasks are to calls of ours; what is not named here it does in no language that we know. */
const OPERATIONS: Readonly<Record<string, readonly ModelOperation[]>> = {
  "Text Generation": ["generate"],
  "Text Embeddings": ["embed"],
  "Image-to-Text": [],
  "Text Classification": [],
  Summarization: [],
  Translation: [],
  "Text-to-Image": ["image"],
  "Text-to-Speech": ["speech"],
  "Automatic Speech Recognition": ["transcribe"],
};

/** Source: Cloudflare API, "Model Search" of Workers AI: `GET /accounts/{account_id}/ai/models/search`. A cloud has no queue to tell of. */
export const workersAiServer: ServerKind = ({ ask }) => ({
  listedAs: asNamed,
  wantsWarm: [],
  everyMs: EVERY_MS,
  answerMs: ANSWER_MS,
  async survey(_what, signal): Promise<ServerReport> {
    const question = ask(signal);
    const models: ServedModel[] = [];
    for (let page = 1; page <= MOST_PAGES; page++) {
      const fetched = await question(`/models/search?per_page=${PER_PAGE}&page=${page}`);
      if (!fetched.ok && !isSlow(fetched.problem)) return { up: false, detail: fetched.problem.message.replace(/\.$/, "") };
      // A list that is slow or fails says nothing of calls: models run elsewhere.
      if (!fetched.ok) return { up: true, detail: "its list of models does not answer" };
      // A key that may run models need not be allowed to list them.
      if (fetched.status === 401 || fetched.status === 403) return { up: true, detail: "its key may not list models" };
      if (fetched.status !== 200) return { up: true, detail: `its list of models answers ${fetched.status}` };
      const entries = listAt(jsonOf(fetched), "result");
      models.push(...entries.flatMap(served));
      if (entries.length < PER_PAGE) break;
    }
    return { up: true, detail: "it answers", ...(models.length > 0 && { models }) };
  },
});

function isSlow({ kind }: Problem): boolean {
  return kind === "upstream_timeout" || kind === "cancelled";
}

function served(entry: unknown): readonly ServedModel[] {
  const name = nameAt(entry, "name");
  if (name === undefined) return [];
  const task = nameAt(entry, "task", "name") ?? "";
  const operations = Object.hasOwn(OPERATIONS, task) ? OPERATIONS[task] : undefined;
  const contextTokens = property(entry, "context_window") ?? property(entry, "max_input_tokens");
  const tools = flagged(entry, "function_calling");
  const vision = flagged(entry, "vision");
  const capabilities = { ...(tools !== undefined && { tools }), ...(vision !== undefined && { vision }) };
  return [
    {
      name,
      ...(contextTokens !== undefined && { contextTokens }),
      ...(operations && { operations }),
      ...(Object.keys(capabilities).length > 0 && { capabilities }),
    },
  ];
}

function valueOf(entry: unknown, id: string): unknown {
  return at(
    listAt(entry, "properties").find((one) => at(one, "property_id") === id),
    "value",
  );
}

function property(entry: unknown, id: string): number | undefined {
  return tokensAt({ value: valueOf(entry, id) }, "value");
}

function flagged(entry: unknown, id: string): boolean | undefined {
  const value = valueOf(entry, id);
  return value === true || value === "true" ? true : value === false || value === "false" ? false : undefined;
}
