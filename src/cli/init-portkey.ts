import type { Json, JsonObject } from "../canon/index.ts";
import { Draft, leaveRest, listIn, numberIn, objectIn, textIn } from "./init-draft.ts";

/** Its names of providers that we call otherwise; the others are the same. Source: its public list of providers. */
const KINDS: Readonly<Record<string, string>> = {
  "azure-openai": "azure",
  google: "gemini",
  "vertex-ai": "vertex",
  "mistral-ai": "mistral",
  "together-ai": "together",
  "fireworks-ai": "fireworks",
  "x-ai": "xai",
  "perplexity-ai": "perplexity",
};
const MODES: Readonly<Record<string, string>> = { single: "fallback", fallback: "fallback", loadbalance: "weighted", conditional: "rules" };
const COMPARISONS: Readonly<Record<string, string>> = { $eq: "==", $ne: "!=", $gt: ">", $gte: ">=", $lt: "<", $lte: "<=" };
const MOST_RETRIES = 20;
const MOST_MS = 86_400_000;
const MOST_SECONDS = 31_622_400;
/** Its configurations have no name; callers ask for this model. */
const MODEL = "default";
const NESTED = 5;

interface Target {
  readonly name: string | undefined;
  readonly target: string;
  readonly weight: number;
}

/** Its config object, as it is kept or sent in `x-portkey-config`. `kinds`: those that we have. */
export function fromPortkey(config: JsonObject, kinds: readonly string[]): Draft {
  const draft = new Draft();
  const strategy = objectIn(config["strategy"]);
  const mode = textIn(strategy["mode"]) ?? "single";
  const targets = targetsIn(draft, "", config, kinds, undefined, 0);
  if (MODES[mode] === undefined) draft.leave("strategy.mode", `"${mode}" has no counterpart; targets are tried in order`);
  if (targets.length > 0) {
    const rules = mode === "conditional" ? rulesIn(draft, strategy, targets) : [];
    const first = textIn(strategy["default"]);
    const ordered =
      mode === "conditional" && first !== undefined
        ? targets.toSorted((a, b) => Number(b.name === first) - Number(a.name === first))
        : targets;
    draft.models[MODEL] = {
      targets: ordered.map(({ target, weight }) => (mode === "loadbalance" ? { target, weight } : target)),
      ...(MODES[mode] !== undefined && MODES[mode] !== "fallback" && { strategy: MODES[mode] }),
      ...(rules.length > 0 && { rules }),
      ...shared(draft, config),
    };
    draft.leave("(name)", `a configuration there has no name; here it is the model "${MODEL}", which callers name`);
  } else draft.leave("targets", "none of them can be carried, so there is no model");
  leaveRest(draft, "strategy", strategy, ["mode", "conditions", "default"], {
    on_status_codes: "what may be tried again is decided by the kind of problem: 429, 5xx, timeouts and broken answers",
  });
  leaveRest(draft, "", config, ["strategy", "targets", "retry", "cache", "request_timeout", ...TARGET_MEMBERS], {
    input_guardrails: "guardrails have no counterpart in a configuration yet",
    output_guardrails: "guardrails have no counterpart in a configuration yet",
  });
  return draft;
}

const TARGET_MEMBERS = ["name", "provider", "virtual_key", "api_key", "custom_host", "weight", "override_params"];

/** Those of an object, or it itself, with what it inherits; nested ones are laid flat. */
function targetsIn(
  draft: Draft,
  path: string,
  object: JsonObject,
  kinds: readonly string[],
  model: string | undefined,
  depth: number,
): Target[] {
  const named = textIn(objectIn(object["override_params"])["model"]) ?? model;
  const inner = listIn(object["targets"]);
  if (inner.length === 0) return targetOf(draft, path, object, kinds, named);
  if (depth >= NESTED) {
    draft.leave(`${path}targets`, "targets within targets go no deeper here");
    return [];
  }
  if (depth > 0) draft.leave(`${path}strategy`, "targets within targets are laid flat, in their order");
  return inner.flatMap((each, at) => targetsIn(draft, `${path}targets[${at}].`, objectIn(each), kinds, named, depth + 1));
}

function targetOf(draft: Draft, path: string, object: JsonObject, kinds: readonly string[], named: string | undefined): Target[] {
  const where = path.replace(/\.$/, "") || "(itself)";
  // `@slug/model` names a provider that is kept on the other side.
  const [, slug, bare] = /^@([^/]+)\/(.+)$/.exec(named ?? "") ?? [];
  const model = bare ?? named;
  const written = textIn(object["provider"]);
  const provider = written?.startsWith("@") ? undefined : written;
  const kept = textIn(object["virtual_key"]) ?? (written?.startsWith("@") ? written.slice(1) : slug);
  const kind = kindOf(provider, kept, kinds);
  const leave = (reason: string): Target[] => {
    draft.leave(where, reason);
    return [];
  };
  if (kind === undefined)
    return leave(
      `there is no kind of provider for "${provider ?? kept ?? "nothing"}" here; what stands behind a name kept there cannot be seen`,
    );
  if (model === undefined) return leave("it names no model (override_params.model), and here a target is provider and model");
  const options: Record<string, Json> = {};
  const host = textIn(object["custom_host"]);
  if (host !== undefined && URL.canParse(host)) {
    options["baseUrl"] = host;
    if (host.startsWith("http:")) options["allowPrivateNetwork"] = true;
  } else if (host !== undefined) return leave("its custom_host is no URL");
  if (kept !== undefined || object["api_key"] !== undefined) {
    const variable = draft.variable(`${kept ?? kind}_API_KEY`);
    options["apiKey"] = variable;
    draft.leave(`${path}${kept === undefined ? "api_key" : "virtual_key"}`, `the key itself is not copied: set ${variable.slice(2, -1)}`);
  }
  const params = objectIn(object["override_params"]);
  leaveRest(
    draft,
    `${path}override_params`,
    params,
    ["model"],
    Object.fromEntries(Object.keys(params).map((name) => [name, "parameters of calls stay with the callers"])),
  );
  if (path !== "")
    leaveRest(draft, where, object, TARGET_MEMBERS, {
      retry: "retries are a model's here, not a target's",
      cache: "the cache is a model's here, not a target's",
      request_timeout: "the timeout is a model's here, not a target's",
    });
  const weight = numberIn(object["weight"], 0, 1_000_000) ?? 1;
  return [{ name: textIn(object["name"]), target: `${draft.provider(kind, options)}/${model}`, weight }];
}

function kindOf(provider: string | undefined, kept: string | undefined, kinds: readonly string[]): string | undefined {
  const kind = provider === undefined ? undefined : (KINDS[provider] ?? provider);
  if (kind !== undefined) return kinds.includes(kind) ? kind : undefined;
  // People name what they keep after what it is: `openai-prod-1a2b3c`.
  return kept === undefined
    ? undefined
    : kinds.filter((each) => kept === each || kept.startsWith(`${each}-`)).toSorted((a, b) => b.length - a.length)[0];
}

function rulesIn(draft: Draft, strategy: JsonObject, targets: readonly Target[]): JsonObject[] {
  return listIn(strategy["conditions"]).flatMap((entry, at) => {
    const { query, then } = objectIn(entry);
    const chosen = targets.find(({ name }) => name !== undefined && name === then);
    const when = conditionOf(objectIn(query));
    if (chosen && when !== undefined) return [{ when, use: [chosen.target] }];
    draft.leave(`strategy.conditions[${at}]`, chosen ? "its query asks for what rules here cannot say" : "its target is not there");
    return [];
  });
}

/** In CEL; undefined: it cannot be said. */
function conditionOf(query: JsonObject): string | undefined {
  const parts = Object.entries(query).map(([name, value]) => {
    if (name === "$and" || name === "$or") {
      const inner = listIn(value).map((each) => conditionOf(objectIn(each)));
      return inner.length === 0 || inner.includes(undefined) ? undefined : `(${inner.join(name === "$and" ? " && " : " || ")})`;
    }
    const member = /^metadata\.([A-Za-z_][A-Za-z0-9_]*)$/.exec(name)?.[1];
    return member === undefined ? undefined : comparisonOf(`metadata.${member}`, value);
  });
  return parts.length === 0 || parts.includes(undefined) ? undefined : parts.join(" && ");
}

function comparisonOf(name: string, value: Json | undefined): string | undefined {
  if (typeof value !== "object" || value === null) return isLiteral(value) ? `${name} == ${JSON.stringify(value)}` : undefined;
  const parts = Object.entries(objectIn(value)).map(([operator, operand]) => {
    if (operator === "$in" || operator === "$nin") {
      const list = listIn(operand);
      const within = list.length > 0 && list.every(isLiteral) ? `${name} in ${JSON.stringify(list)}` : undefined;
      return operator === "$nin" && within !== undefined ? `!(${within})` : within;
    }
    const sign = COMPARISONS[operator];
    return sign !== undefined && isLiteral(operand) ? `${name} ${sign} ${JSON.stringify(operand)}` : undefined;
  });
  return parts.length === 0 || parts.includes(undefined) ? undefined : parts.join(" && ");
}

function isLiteral(value: Json | undefined): boolean {
  return (typeof value === "string" && !value.includes("${")) || typeof value === "number" || typeof value === "boolean";
}

function shared(draft: Draft, config: JsonObject): JsonObject {
  const { attempts } = objectIn(config["retry"]);
  const retries = numberIn(attempts, 0, MOST_RETRIES);
  const timeoutMs = numberIn(config["request_timeout"], 1, MOST_MS);
  const cache = objectIn(config["cache"]);
  const mode = textIn(cache["mode"]);
  // Without an age of its own an answer was kept for a week there.
  const ttl = numberIn(cache["max_age"], 1, MOST_SECONDS) ?? 604_800;
  if (mode === "semantic") draft.leave("cache.mode", "answers to calls that are only alike are not repeated; identical calls are");
  leaveRest(draft, "retry", objectIn(config["retry"]), ["attempts"]);
  return {
    ...(retries !== undefined && { retries: Math.floor(retries) }),
    ...(timeoutMs !== undefined && { timeoutMs: Math.ceil(timeoutMs) }),
    ...(mode !== undefined && { cache: { ttlSeconds: Math.ceil(ttl), share: "all" } }),
  };
}
