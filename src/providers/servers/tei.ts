import type { ModelOperation, ServedModel, ServerLoad, ServerReport } from "../../canon/index.ts";
import { readMetrics } from "./exposition.ts";
import { at, jsonOf, nameAt, textOfGood, tokensAt, whyDown } from "./read.ts";
import { asNamed, type ServerKind } from "./types.ts";

const WAITING = "te_queue_size";
/** Texts that the newest batches held, and the seconds that a text took in one. */
const BATCH = "te_batch_next_size";
const SECONDS = "te_request_inference_duration";
const METRICS = new Set([WAITING, `${BATCH}_sum`, `${BATCH}_count`, `${SECONDS}_sum`, `${SECONDS}_count`]);
const MS_PER_SECOND = 1000;

/** Source: Text Embeddings Inference, `docs/openapi.json` (`/info`, `/health`, `/metrics`) and `router/src/prometheus.rs`. One model a server, whatever a call names. */
export const teiServer: ServerKind = ({ ask }) => ({
  listedAs: asNamed,
  wantsWarm: [],
  async survey(what, signal): Promise<ServerReport> {
    const question = ask(signal);
    const [health, metrics, info] = await Promise.all([
      question("/health"),
      question("/metrics"),
      what === "models" ? question("/info") : undefined,
    ]);
    const down = whyDown(health);
    if (down !== undefined) return { up: false, detail: down };
    const model = info && servedBy(jsonOf(info));
    const load = loadIn(textOfGood(metrics));
    return { up: true, detail: "it answers", ...(model && { models: [model], anyName: true }), ...(load && { load }) };
  },
});

function servedBy(info: unknown): ServedModel | undefined {
  const name = nameAt(info, "model_id");
  if (name === undefined) return undefined;
  // Texts that are too long are cut where the server was told so: then no length is too much.
  const contextTokens = at(info, "auto_truncate") === true ? undefined : tokensAt(info, "max_input_length");
  const operations = operationsOf(at(info, "model_type"));
  return { name, ...(contextTokens !== undefined && { contextTokens }), ...(operations && { operations }), loaded: true };
}

/** `{ embedding: {...} }`, `{ reranker: {...} }` or `{ classifier: {...} }`; a re-ranker takes no embeddings, and the other way round. */
function operationsOf(type: unknown): readonly ModelOperation[] | undefined {
  const is = (kind: string): boolean => type === kind || at(type, kind) !== undefined;
  if (is("embedding") || is("Embedding")) return ["embed"];
  if (is("reranker") || is("Reranker")) return ["rerank"];
  return is("classifier") || is("Classifier") ? [] : undefined;
}

function loadIn(text: string | undefined): ServerLoad | undefined {
  const found = text === undefined ? undefined : readMetrics(text, METRICS);
  const waiting = found?.get(WAITING)?.sum;
  if (!found || waiting === undefined) return undefined;
  const mean = (name: string): number | undefined => {
    const [sum, count] = [found.get(`${name}_sum`)?.sum, found.get(`${name}_count`)?.sum];
    return sum === undefined || !count ? undefined : sum / count;
  };
  const seconds = mean(SECONDS);
  // It does not tell what runs; a usual batch stands for it.
  return { running: mean(BATCH) ?? 1, waiting, ...(seconds !== undefined && { requestMs: seconds * MS_PER_SECOND }) };
}
