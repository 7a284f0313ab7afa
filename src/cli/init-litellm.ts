import type { Json, JsonObject } from "../canon/index.ts";
import { Draft, leaveRest, listIn, numberIn, objectIn, textIn } from "./init-draft.ts";

/** Its prefixes of models that we call otherwise; the others are the same. Source: its public list of providers. */
const KINDS: Readonly<Record<string, string>> = {
  gemini: "gemini",
  vertex_ai: "vertex",
  azure: "azure",
  openai: "openai",
  anthropic: "anthropic",
  mistral: "mistral",
  groq: "groq",
  deepseek: "deepseek",
  xai: "xai",
  openrouter: "openrouter",
  cohere: "cohere",
  perplexity: "perplexity",
  cerebras: "cerebras",
  together_ai: "together",
  fireworks_ai: "fireworks",
  ollama: "ollama",
  ollama_chat: "ollama",
  hosted_vllm: "vllm",
  nvidia_nim: "nvidia",
  sambanova: "sambanova",
  baseten: "baseten",
  moonshot: "moonshot",
  huggingface: "huggingface",
  lm_studio: "lmstudio",
};
const STRATEGIES: Readonly<Record<string, string>> = {
  "simple-shuffle": "weighted",
  "latency-based-routing": "latency",
  "cost-based-routing": "cost",
};
/** Of its spans of time, those that a calendar has. */
const WINDOWS: Readonly<Record<string, string>> = {
  "1h": "hour",
  "60m": "hour",
  "24h": "day",
  "1d": "day",
  "7d": "week",
  "1w": "week",
  "30d": "month",
  "1mo": "month",
};
const LONGEST_SECONDS = 86_400;
const MOST_RETRIES = 20;

interface Deployment {
  readonly target: string;
  readonly weight: number;
  readonly timeoutMs: number | undefined;
  readonly retries: number | undefined;
}

/** Its `config.yaml`. `kinds`: those that we have. */
export function fromLitellm(config: JsonObject, kinds: readonly string[]): Draft {
  const draft = new Draft();
  const router = objectIn(config["router_settings"]);
  const settings = objectIn(config["litellm_settings"]);
  const groups = new Map<string, Deployment[]>();
  for (const [at, entry] of listIn(config["model_list"]).entries())
    addDeployment(draft, groups, `model_list[${at}]`, objectIn(entry), kinds);
  addAliases(draft, groups, objectIn(router["model_group_alias"]));
  const fallbacks = fallbacksIn(draft, router, settings);
  for (const [name, deployments] of groups) {
    const own = new Set(deployments.map(({ target }) => target));
    const others = (fallbacks.get(name) ?? fallbacks.get("*") ?? []).flatMap((other) => groups.get(other) ?? []);
    const further = others.filter(({ target }, nth) => !own.has(target) && others.findIndex((each) => each.target === target) === nth);
    draft.models[name] = modelOf(draft, deployments, further, router, settings);
  }
  addSettings(draft, config, router, settings);
  return draft;
}

function addDeployment(draft: Draft, groups: Map<string, Deployment[]>, path: string, entry: JsonObject, kinds: readonly string[]): void {
  const name = textIn(entry["model_name"]);
  const params = objectIn(entry["litellm_params"]);
  const model = textIn(params["model"]);
  if (name === undefined || model === undefined) return draft.leave(path, "it lacks model_name or litellm_params.model");
  if (name.includes("*") || model.includes("*"))
    return draft.leave(path, "names with `*` are not needed: callers may name `provider/model` where their keys allow it");
  const slash = model.indexOf("/");
  const prefix = slash < 0 ? "openai" : model.slice(0, slash);
  const base = textIn(params["api_base"]) ?? textIn(params["base_url"]);
  // Its `openai/` with another address means any server that speaks the language.
  const kind =
    prefix === "openai" && base !== undefined && !base.startsWith("https://api.openai.com") ? "openai-compatible" : KINDS[prefix];
  if (kind === undefined || !kinds.includes(kind)) return draft.leave(path, `there is no kind of provider for "${prefix}" here`);
  const options: Record<string, Json> = {};
  if (base !== undefined) {
    const read = reference(draft, base);
    if (!read.startsWith("${") && !URL.canParse(read)) return draft.leave(`${path}.litellm_params.api_base`, "it is no URL");
    options["baseUrl"] = read;
    if (read.startsWith("http:")) options["allowPrivateNetwork"] = true;
  }
  const key = keyOf(draft, path, kind, params["api_key"]);
  if (key !== undefined) options["apiKey"] = key;
  const version = textIn(params["api_version"]);
  if (version !== undefined && /^[\w.-]+$/.test(version)) options["apiVersion"] = version;
  const known = ["model", "api_base", "base_url", "api_key", "api_version", "weight", "timeout", "stream_timeout", "max_retries"];
  leaveRest(draft, `${path}.litellm_params`, params, known, {
    rpm: "limits are on callers, models and providers: see `limits` with `match`",
    tpm: "limits are on callers, models and providers: see `limits` with `match`",
    temperature: "parameters of calls stay with the callers",
    max_tokens: "parameters of calls stay with the callers",
  });
  leaveRest(draft, `${path}.model_info`, objectIn(entry["model_info"]), ["id", "mode", "base_model"], {
    input_cost_per_token: "prices come from the price book; `providers.NAME.models.MODEL.price` corrects them",
    output_cost_per_token: "prices come from the price book; `providers.NAME.models.MODEL.price` corrects them",
  });
  const deployment: Deployment = {
    target: `${draft.provider(kind, options)}/${slash < 0 ? model : model.slice(slash + 1)}`,
    weight: numberIn(params["weight"], 0, 1_000_000) ?? 1,
    timeoutMs: milliseconds(params["timeout"]),
    retries: retriesIn(params["max_retries"]),
  };
  groups.set(name, [...(groups.get(name) ?? []), deployment]);
}

function addAliases(draft: Draft, groups: Map<string, Deployment[]>, aliases: JsonObject): void {
  for (const [alias, value] of Object.entries(aliases)) {
    const group = groups.get(textIn(value) ?? textIn(objectIn(value)["model"]) ?? "");
    if (group) groups.set(alias, group);
    else draft.leave(`router_settings.model_group_alias.${alias}`, "it names no model of model_list");
  }
}

/** By model; `*` for all others. */
function fallbacksIn(draft: Draft, router: JsonObject, settings: JsonObject): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const [from, section] of [
    ["litellm_settings", settings],
    ["router_settings", router],
  ] as const) {
    const everywhere = listIn(section["default_fallbacks"]).flatMap((one) => textIn(one) ?? []);
    if (everywhere.length > 0) found.set("*", everywhere);
    for (const [at, entry] of listIn(section["fallbacks"]).entries()) {
      for (const [name, others] of Object.entries(objectIn(entry))) {
        const names = listIn(others).flatMap((one) => textIn(one) ?? []);
        if (names.length === listIn(others).length) found.set(name, names);
        else draft.leave(`${from}.fallbacks[${at}].${name}`, "a fallback with parameters of its own has no counterpart here");
      }
    }
  }
  return found;
}

function modelOf(
  draft: Draft,
  own: readonly Deployment[],
  further: readonly Deployment[],
  router: JsonObject,
  settings: JsonObject,
): JsonObject {
  const strategy = own.length === 1 ? "fallback" : (STRATEGIES[textIn(router["routing_strategy"]) ?? "simple-shuffle"] ?? "round-robin");
  const weighted = own.length > 1 && (strategy === "weighted" || further.length > 0);
  const targets: Json[] = weighted
    ? [...own.map(({ target, weight }) => ({ target, weight })), ...further.map(({ target }) => ({ target, weight: 0 }))]
    : [...own, ...further].map(({ target }) => target);
  if (weighted && strategy !== "weighted")
    draft.leave(
      "router_settings.routing_strategy",
      `a model with several deployments and fallbacks is drawn by weight, not by "${strategy}"`,
    );
  const timeoutMs =
    own.find((one) => one.timeoutMs !== undefined)?.timeoutMs ??
    milliseconds(router["timeout"]) ??
    milliseconds(settings["request_timeout"]);
  const retries =
    own.find((one) => one.retries !== undefined)?.retries ?? retriesIn(router["num_retries"]) ?? retriesIn(settings["num_retries"]);
  const ttl = settings["cache"] === true ? (numberIn(objectIn(settings["cache_params"])["ttl"], 1, 31_622_400) ?? 60) : undefined;
  return {
    targets,
    ...((weighted || strategy !== "fallback") && { strategy: weighted ? "weighted" : strategy }),
    ...(retries !== undefined && { retries }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(ttl !== undefined && { cache: { ttlSeconds: Math.ceil(ttl), share: "all" } }),
  };
}

function addSettings(draft: Draft, config: JsonObject, router: JsonObject, settings: JsonObject): void {
  const usd = numberIn(settings["max_budget"], 0.000_001, 9_000_000);
  const duration = textIn(settings["budget_duration"]);
  const per = duration === undefined ? "lifetime" : WINDOWS[duration];
  if (usd !== undefined && per !== undefined) draft.budgets.push({ usd, per, hard: true });
  else if (settings["max_budget"] !== undefined)
    draft.leave("litellm_settings.max_budget", `no calendar has a window of "${duration ?? "nothing"}"`);
  const general = objectIn(config["general_settings"]);
  if (general["master_key"] !== undefined) draft.anonymous = "never";
  leaveRest(draft, "general_settings", general, [], {
    master_key: "set GIMBAL_ADMIN_TOKEN; callers get keys of their own: `gimbal keys create`",
    database_url: "the record is kept in the data folder, or where GIMBAL_DATABASE_URL says",
  });
  leaveRest(
    draft,
    "litellm_settings",
    settings,
    ["fallbacks", "default_fallbacks", "cache", "num_retries", "request_timeout", "max_budget", "budget_duration"],
    {
      cache_params: "answers are kept in this gateway's own record; of this only `ttl` was taken",
      context_window_fallbacks: "targets that a call does not fit into are passed over by themselves",
      drop_params: "fields that a target does not know are left out by themselves",
      success_callback: "collectors take OpenTelemetry: see `telemetry`",
      failure_callback: "collectors take OpenTelemetry: see `telemetry`",
      callbacks: "collectors take OpenTelemetry: see `telemetry`",
    },
  );
  const known = ["fallbacks", "default_fallbacks", "model_group_alias", "num_retries", "timeout"];
  const strategy = textIn(router["routing_strategy"]) ?? "simple-shuffle";
  leaveRest(draft, "router_settings", router, STRATEGIES[strategy] ? [...known, "routing_strategy"] : known, {
    routing_strategy: `"${strategy}" has no counterpart; several deployments take turns`,
    allowed_fails: "what is unhealthy is found out by breakers: see `health`",
    cooldown_time: "what is unhealthy is found out by breakers: see `health`",
    redis_host: "processes share the record, no Redis is needed",
    redis_port: "processes share the record, no Redis is needed",
    redis_password: "processes share the record, no Redis is needed",
  });
  leaveRest(draft, "", config, ["model_list", "router_settings", "litellm_settings", "general_settings"], {
    environment_variables: "set them in the environment itself",
  });
}

/** `os.environ/NAME` is our `${NAME}`. */
function reference(draft: Draft, text: string): string {
  const name = /^os\.environ\/(.+)$/.exec(text)?.[1];
  return name === undefined ? text : draft.variable(name);
}

/** A key that stands in the file is not copied: whoever reads it has it. */
function keyOf(draft: Draft, path: string, kind: string, value: Json | undefined): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text = typeof value === "string" ? value : "";
  if (text.startsWith("os.environ/")) return reference(draft, text);
  const variable = draft.variable(`${kind}_API_KEY`);
  draft.leave(`${path}.litellm_params.api_key`, `the key stands in the file and was not copied: set ${variable.slice(2, -1)}`);
  return variable;
}

function milliseconds(seconds: Json | undefined): number | undefined {
  const read = numberIn(seconds, 0.001, LONGEST_SECONDS);
  return read === undefined ? undefined : Math.ceil(read * 1000);
}

function retriesIn(value: Json | undefined): number | undefined {
  const read = numberIn(value, 0, MOST_RETRIES);
  return read === undefined ? undefined : Math.floor(read);
}
