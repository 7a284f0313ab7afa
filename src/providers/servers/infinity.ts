import type { ModelOperation, ServedModel, ServerLoad, ServerReport } from "../../canon/index.ts";
import { countAt, jsonOf, listAt, nameAt, whyDown, wordsAt } from "./read.ts";
import { asNamed, type ServerKind } from "./types.ts";

/** What it calls its abilities, as far as calls of ours can ask for them. */
const OPERATIONS: Readonly<Record<string, ModelOperation>> = { embed: "embed", rerank: "rerank" };

/** Source: Infinity, `infinity_emb/fastapi_schemas/pymodels.py` (`ModelInfo`) and `infinity_server.py`: the list of models tells their queues too. */
export const infinityServer: ServerKind = ({ ask }) => ({
  listedAs: asNamed,
  wantsWarm: [],
  async survey(_what, signal): Promise<ServerReport> {
    const question = ask(signal);
    const [health, list] = await Promise.all([question("/health"), question("/models", { inApi: true })]);
    const down = whyDown(health);
    if (down !== undefined) return { up: false, detail: down };
    const entries = listAt(jsonOf(list), "data");
    const models = entries.flatMap(served);
    const load = loadOf(entries);
    return { up: true, detail: "it answers", ...(models.length > 0 && { models, complete: true }), ...(load && { load }) };
  },
});

function served(entry: unknown): readonly ServedModel[] {
  const name = nameAt(entry, "id");
  if (name === undefined) return [];
  const words = wordsAt(entry, "capabilities");
  const operations = words.flatMap((word) => (Object.hasOwn(OPERATIONS, word) ? (OPERATIONS[word] ?? []) : []));
  return [{ name, ...(words.length > 0 && { operations }), loaded: true }];
}

/** Texts that wait and texts of a batch, of the model that has most to do: each has a queue of its own. */
function loadOf(entries: readonly unknown[]): ServerLoad | undefined {
  let busiest: ServerLoad | undefined;
  for (const entry of entries) {
    const waiting = countAt(entry, "stats", "queue_absolute");
    const running = countAt(entry, "stats", "batch_size") ?? 1;
    if (waiting !== undefined && (!busiest || waiting / running > busiest.waiting / busiest.running))
      busiest = { running: Math.max(running, 1), waiting };
  }
  return busiest;
}
