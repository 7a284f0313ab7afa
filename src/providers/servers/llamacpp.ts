import type { Problem, ServedModel, ServerLoad, ServerReport } from "../../canon/index.ts";
import { readMetrics } from "./exposition.ts";
import { at, flagAt, jsonOf, listAt, nameAt, textOfGood, tokensAt, whyDown } from "./read.ts";
import { asNamed, type ServerKind } from "./types.ts";

const RUNNING = "llamacpp:requests_processing";
const WAITING = "llamacpp:requests_deferred";
const PACE = "llamacpp:predicted_tokens_seconds";
const CACHE = "llamacpp:kv_cache_usage_ratio";
const METRICS = new Set([RUNNING, WAITING, PACE, CACHE]);

/**
 * Source: llama.cpp, `tools/server/README.md`: `/health` (503 while the model loads), `/props`, `/slots`, `/metrics` (501 unless the server
 * was started with `--metrics`; then the slots alone tell what runs). One process has one model, whatever a call names; a router has several.
 */
export const llamacppServer: ServerKind = ({ ask }) => {
  let slots: number | undefined;
  return {
    listedAs: asNamed,
    wantsWarm: [],
    explain: explained,
    async survey(what, signal): Promise<ServerReport> {
      const question = ask(signal);
      const [health, metrics, places, props, list] = await Promise.all([
        question("/health"),
        question("/metrics"),
        question("/slots"),
        what === "models" ? question("/props") : undefined,
        what === "models" ? question("/models", { inApi: true }) : undefined,
      ]);
      const down = whyDown(health);
      if (down !== undefined) return { up: false, detail: down };
      if (props) slots = tokensAt(jsonOf(props), "total_slots") ?? slots;
      const load = loadOf(textOfGood(metrics), jsonOf(places), slots);
      const models = list && servedBy(jsonOf(props ?? list), jsonOf(list));
      return {
        up: true,
        detail: "it answers",
        ...(models && { models, ...(models.length === 1 && { anyName: true as const }) }),
        ...(load && { load }),
      };
    },
  };
};

function servedBy(props: unknown, list: unknown): readonly ServedModel[] | undefined {
  const names = listAt(list, "data").flatMap((entry) => nameAt(entry, "id") ?? []);
  const [only, ...others] = names;
  if (only === undefined) return undefined;
  // What `/props` tells is of one model; a router has several.
  if (others.length > 0) return names.map((name) => ({ name }));
  // Of one slot: a call has no more than that.
  const contextTokens = tokensAt(props, "default_generation_settings", "n_ctx");
  const [vision, audio] = [flagAt(props, "modalities", "vision"), flagAt(props, "modalities", "audio")];
  const tools = flagAt(props, "chat_template_caps", "supports_tools");
  const capabilities = {
    ...(vision !== undefined && { vision }),
    ...(audio !== undefined && { audio }),
    ...(tools !== undefined && { tools }),
  };
  return [
    {
      name: only,
      ...(contextTokens !== undefined && { contextTokens }),
      ...(Object.keys(capabilities).length > 0 && { capabilities }),
      loaded: true,
    },
  ];
}

function loadOf(metrics: string | undefined, places: unknown, known: number | undefined): ServerLoad | undefined {
  const found = metrics === undefined ? undefined : readMetrics(metrics, METRICS);
  const each = Array.isArray(places) ? listAt({ places }, "places") : undefined;
  const busy = each?.filter((slot) => flagAt(slot, "is_processing") === true).length;
  const running = found?.get(RUNNING)?.sum ?? busy;
  if (running === undefined) return undefined;
  const slots = each && each.length > 0 ? each.length : known;
  const [pace, share] = [found?.get(PACE)?.largest, found?.get(CACHE)?.largest];
  return {
    running,
    waiting: found?.get(WAITING)?.sum ?? 0,
    ...(slots !== undefined && { slots }),
    ...(share !== undefined && { cacheShare: Math.min(Math.max(share, 0), 1) }),
    ...(pace !== undefined && pace > 0 && { tokensPerSecond: pace }),
  };
}

/** Its refusal of what is too long has the figures beside its words, not in them. */
function explained(problem: Problem): Problem {
  const { upstream } = problem;
  const error = at(upstream?.body, "error");
  const [limit, count] = [tokensAt(error, "n_ctx"), tokensAt(error, "n_prompt_tokens")];
  if (!upstream || limit === undefined || count === undefined) return problem;
  const { status, dialect, provider } = upstream;
  return {
    ...problem,
    message: `The call has ${count} tokens of input, and the model of the provider "${provider}" holds ${limit}.`,
    code: "context_length_exceeded",
    upstream: { status, dialect, provider },
  };
}
