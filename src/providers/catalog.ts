import type { Capabilities, Provider } from "../canon/index.ts";
import { AWS_ROWS } from "./catalog-aws.ts";
import { GOOGLE_ROWS } from "./catalog-google.ts";
import { TASK_CATALOG } from "./catalog-tasks.ts";
import type { ProviderDeps } from "./create.ts";
import { LOCAL_ROWS } from "./local/row.ts";
import type { ProviderOptions } from "./options.ts";

/** How a provider wants its key. */
export type AuthStyle =
  | { readonly style: "bearer" }
  /** A header of its own; the key is the whole value. */
  | { readonly style: "header"; readonly name: string };

/** Makes a provider that is more than a row. `plain`: what the row alone would make. @throws ProblemError invalid_request */
export type OwnProvider = (parts: {
  readonly name: string;
  readonly options: ProviderOptions;
  readonly row: CatalogRow;
  readonly deps: ProviderDeps;
  readonly plain: (row: CatalogRow) => Provider;
}) => Provider;

/** A provider that needs no code of its own. Everything here can be overridden in the configuration. */
export interface CatalogRow {
  readonly title: string;
  /** `gen_ai.provider.name` of the OpenTelemetry conventions, where that is not the row's own name. */
  readonly telemetryName?: string;
  /** Undefined: the configuration must name it. `{NAME}` stands for an environment variable. */
  readonly baseUrl?: string;
  /** Environment variables that may hold the base URL instead, first found wins. */
  readonly baseUrlEnvironment?: readonly string[];
  /** The path under which this API lives on any host; added to a base URL that lacks it. */
  readonly versionPath?: string;
  /** Requests whose path begins so go to the host itself, beside `versionPath` and not below it. */
  readonly besidePath?: string;
  readonly auth: AuthStyle;
  /** What differs for one of its languages: the path that stands before the language's own, and how it takes the key there. */
  readonly apart?: Readonly<Record<string, { readonly path: string; readonly auth?: AuthStyle }>>;
  /** Environment variables that may hold the key, first found wins. */
  readonly environment: readonly string[];
  /** False where a server on one's own machine usually has no key. */
  readonly needsKey: boolean;
  /** Preferred first. A client's own language wins when it is among them. */
  readonly dialects: readonly string[];
  /** What the server's side of the language is like, for all its models; wins over what is known of a model. */
  readonly wire: Capabilities;
  /** What is assumed of a model of which nothing is known. */
  readonly assume: Capabilities;
  /** Path of the list of models below the base URL; undefined: it has none. */
  readonly modelsPath?: string;
  /** Headers that every request carries. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Where the list of models holds what no conversation can be had with. A regular expression on the name. */
  readonly notForChat?: string;
  /** A server on one's own machine: its usual port. Loopback addresses are then allowed without being asked for. */
  readonly localPort?: number;
  /** Names by which it answers `GET modelsPath`, to tell it from other servers on the same port; see discover.ts. */
  readonly ownedBy?: string;
  /** Path of one deployment and of the list, used instead of `versionPath` when the configuration gives `apiVersion`. */
  readonly dated?: { readonly deploymentPath: string; readonly modelsPath: string };
  /** Models worth showing when the list cannot be asked for. */
  readonly hints: readonly string[];
  /** What it is beyond this row; it alone takes the options of a cloud (`project`, `location`, ...). */
  readonly create?: OwnProvider;
  /** Its models run on this machine, in processes of their own. */
  readonly inProcess?: true;
  /** For docs: what is unusual about it. */
  readonly quirks: readonly string[];
}

const CHAT = "openai-chat";
const RESPONSES = "openai-responses";
const MESSAGES = "anthropic-messages";
const OLLAMA = "ollama-chat";
const COMPLETIONS = "openai-completions";

const BEARER: AuthStyle = { style: "bearer" };
/** Only one provider runs tools whose input is free text; elsewhere they become functions with one string. */
const NO_CUSTOM_TOOLS = "tools[].custom";
const ASSUME: Capabilities = { tools: true, vision: true, files: true, structuredOutput: true };
/** Chat completions as most servers speak it. */
const PLAIN_CHAT: Capabilities = {
  maxTokensField: "max_tokens",
  instructionsRole: "system",
  streamUsage: true,
  refuses: [NO_CUSTOM_TOOLS],
};

const chat = (capabilities: Capabilities): Capabilities => ({
  ...PLAIN_CHAT,
  ...capabilities,
  refuses: [NO_CUSTOM_TOOLS, ...(capabilities.refuses ?? [])],
});

const NOT_FOR_CHAT = String.raw`embed|whisper|tts|transcri|dall-e|moderation|guard|rerank|image|realtime|audio|sora|davinci|babbage|flux|stable-diffusion|speech|orpheus`;

const LOCAL = {
  auth: BEARER,
  needsKey: false,
  // Unlike elsewhere every model here goes on with a bare text.
  dialects: [CHAT, COMPLETIONS],
  assume: ASSUME,
  modelsPath: "/models",
  versionPath: "/v1",
  hints: [],
  notForChat: "embed|rerank",
} as const;
const HOSTED = {
  auth: BEARER,
  needsKey: true,
  dialects: [CHAT],
  assume: ASSUME,
  modelsPath: "/models",
  notForChat: NOT_FOR_CHAT,
  quirks: [],
} as const;

/** The catalogue, by the name under which `providers:` knows it. */
export const CATALOG: Readonly<Record<string, CatalogRow>> = {
  ...TASK_CATALOG,
  ...LOCAL_ROWS,
  openai: {
    ...HOSTED,
    title: "OpenAI",
    baseUrl: "https://api.openai.com/v1",
    baseUrlEnvironment: ["OPENAI_BASE_URL"],
    environment: ["OPENAI_API_KEY"],
    dialects: [RESPONSES, CHAT],
    wire: { maxTokensField: "max_completion_tokens", streamUsage: true },
    hints: ["gpt-5.4-mini", "gpt-5.4", "gpt-5-mini", "gpt-5"],
    quirks: ["`max_completion_tokens` instead of `max_tokens`", "reasoning models take no sampling fields"],
  },
  anthropic: {
    title: "Anthropic",
    baseUrl: "https://api.anthropic.com",
    baseUrlEnvironment: ["ANTHROPIC_BASE_URL"],
    versionPath: "/v1",
    auth: { style: "header", name: "x-api-key" },
    environment: ["ANTHROPIC_API_KEY"],
    needsKey: true,
    dialects: [MESSAGES],
    wire: { versions: ["2026-10-21", "2023-06-01"], betas: ["*"], streamUsage: true },
    // No cap is assumed: the dialect has a default for calls that name none, and a model newer than our table may write more.
    assume: ASSUME,
    modelsPath: "/models?limit=1000",
    headers: { "anthropic-version": "2023-06-01" },
    hints: ["claude-sonnet-5", "claude-opus-5", "claude-haiku-4-5"],
    quirks: [
      "`max_tokens` is required; the model's own maximum is sent when the caller gave none",
      "the base URL may end before or behind `/v1`",
    ],
  },
  ...GOOGLE_ROWS,
  ...AWS_ROWS,
  azure: {
    ...HOSTED,
    title: "Azure OpenAI",
    telemetryName: "azure.ai.openai",
    baseUrlEnvironment: ["AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_BASE_URL"],
    versionPath: "/openai/v1",
    dated: { deploymentPath: "/openai/deployments/{model}", modelsPath: "/openai/models" },
    auth: { style: "header", name: "api-key" },
    environment: ["AZURE_OPENAI_API_KEY", "AZURE_API_KEY"],
    dialects: [RESPONSES, CHAT],
    wire: { maxTokensField: "max_completion_tokens", streamUsage: true },
    hints: [],
    quirks: [
      "the model is the deployment's name; say `models: { NAME: { sameAs: openai/gpt-5-mini } }` so that it has a price",
      "with `apiVersion: 2024-10-21` the dated API is used, one path a deployment, chat completions only",
    ],
  },
  groq: {
    ...HOSTED,
    title: "Groq",
    baseUrl: "https://api.groq.com/openai/v1",
    environment: ["GROQ_API_KEY"],
    wire: chat({
      maxTokensField: "max_completion_tokens",
      reasoningField: "reasoning",
      refuses: ["logprobs", "top_logprobs", "logit_bias"],
    }),
    hints: ["openai/gpt-oss-120b", "llama-3.3-70b-versatile"],
    quirks: ["refuses log probabilities and `logit_bias`", "one answer a call"],
  },
  together: {
    ...HOSTED,
    title: "Together AI",
    baseUrl: "https://api.together.xyz/v1",
    environment: ["TOGETHER_API_KEY"],
    wire: chat({ reasoningField: "reasoning" }),
    hints: ["openai/gpt-oss-120b"],
  },
  fireworks: {
    ...HOSTED,
    title: "Fireworks AI",
    baseUrl: "https://api.fireworks.ai/inference/v1",
    environment: ["FIREWORKS_API_KEY"],
    wire: chat({ reasoningField: "reasoning_content" }),
    hints: ["accounts/fireworks/models/gpt-oss-120b"],
    quirks: ["model names hold slashes: `fireworks/accounts/fireworks/models/...`"],
  },
  mistral: {
    ...HOSTED,
    title: "Mistral",
    telemetryName: "mistral_ai",
    baseUrl: "https://api.mistral.ai/v1",
    environment: ["MISTRAL_API_KEY"],
    wire: chat({
      streamUsage: false,
      refuses: [
        "stream_options",
        "logit_bias",
        "user",
        "seed",
        "store",
        "service_tier",
        "logprobs",
        "top_logprobs",
        "verbosity",
        "prompt_cache_key",
        "safety_identifier",
      ],
    }),
    hints: ["mistral-medium-latest", "mistral-small-latest"],
    quirks: [
      "answers 422 to fields it does not know, so they are left out",
      "streams report usage unasked",
      "`random_seed` instead of `seed`",
    ],
  },
  deepseek: {
    ...HOSTED,
    title: "DeepSeek",
    baseUrl: "https://api.deepseek.com/v1",
    environment: ["DEEPSEEK_API_KEY"],
    wire: chat({ reasoningField: "reasoning_content", structuredOutput: false }),
    hints: ["deepseek-chat", "deepseek-reasoner"],
    quirks: ["JSON mode but no JSON Schema", "cache hits are reported as `prompt_cache_hit_tokens`"],
  },
  xai: {
    ...HOSTED,
    title: "xAI",
    telemetryName: "x_ai",
    baseUrl: "https://api.x.ai/v1",
    environment: ["XAI_API_KEY"],
    dialects: [CHAT, RESPONSES],
    wire: chat({ maxTokensField: "max_completion_tokens", reasoningField: "reasoning_content" }),
    hints: ["grok-4.5", "grok-4.3"],
    quirks: ["reasoning tokens are reported beside, not within, the completion tokens"],
  },
  openrouter: {
    ...HOSTED,
    title: "OpenRouter",
    baseUrl: "https://openrouter.ai/api/v1",
    environment: ["OPENROUTER_API_KEY"],
    dialects: [CHAT, RESPONSES, MESSAGES],
    wire: chat({ reasoningField: "reasoning", versions: ["2023-06-01"] }),
    hints: ["anthropic/claude-sonnet-5", "openai/gpt-5.4-mini"],
    quirks: ["reports what the call cost; that figure is used"],
  },
  cerebras: {
    ...HOSTED,
    title: "Cerebras",
    baseUrl: "https://api.cerebras.ai/v1",
    environment: ["CEREBRAS_API_KEY"],
    wire: chat({
      maxTokensField: "max_completion_tokens",
      reasoningField: "reasoning",
      refuses: ["frequency_penalty", "presence_penalty", "logit_bias", "service_tier"],
    }),
    hints: ["gpt-oss-120b"],
    quirks: ["refuses penalties and `logit_bias`"],
  },
  perplexity: {
    title: "Perplexity",
    baseUrl: "https://api.perplexity.ai",
    auth: BEARER,
    environment: ["PERPLEXITY_API_KEY", "PPLX_API_KEY"],
    needsKey: true,
    dialects: [CHAT],
    wire: chat({
      streamUsage: false,
      tools: false,
      refuses: ["tools", "tool_choice", "parallel_tool_calls", "stream_options", "logprobs", "top_logprobs", "logit_bias", "seed", "n"],
    }),
    assume: { vision: true, structuredOutput: true },
    hints: ["sonar", "sonar-pro"],
    quirks: ["no tools", "no list of models", "a fee for each call besides the tokens", "usage comes with every chunk"],
  },
  "workers-ai": {
    title: "Cloudflare Workers AI",
    baseUrl: "https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1",
    auth: BEARER,
    environment: ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"],
    needsKey: true,
    dialects: [CHAT],
    wire: chat({ reasoningField: "reasoning_content" }),
    assume: ASSUME,
    hints: ["@cf/openai/gpt-oss-120b", "@cf/meta/llama-3.3-70b-instruct-fp8-fast"],
    quirks: ["the account's id is part of the base URL", "no list of models in this API"],
  },
  huggingface: {
    ...HOSTED,
    title: "Hugging Face",
    baseUrl: "https://router.huggingface.co/v1",
    environment: ["HF_TOKEN", "HUGGINGFACE_API_KEY"],
    wire: chat({ reasoningField: "reasoning_content" }),
    hints: ["openai/gpt-oss-120b:together"],
    quirks: ["`model:provider` chooses who runs it; without that suffix the price is unknown"],
  },
  nvidia: {
    ...HOSTED,
    title: "NVIDIA NIM",
    baseUrl: "https://integrate.api.nvidia.com/v1",
    environment: ["NVIDIA_API_KEY"],
    wire: chat({ reasoningField: "reasoning_content" }),
    hints: ["openai/gpt-oss-120b"],
    quirks: ["no published price a token"],
  },
  baseten: {
    ...HOSTED,
    title: "Baseten",
    baseUrl: "https://inference.baseten.co/v1",
    environment: ["BASETEN_API_KEY"],
    wire: chat({ reasoningField: "reasoning_content" }),
    hints: ["openai/gpt-oss-120b"],
  },
  sambanova: {
    ...HOSTED,
    title: "SambaNova",
    baseUrl: "https://api.sambanova.ai/v1",
    environment: ["SAMBANOVA_API_KEY"],
    wire: chat({
      reasoningField: "reasoning",
      refuses: ["logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "n", "seed"],
    }),
    hints: ["gpt-oss-120b", "Meta-Llama-3.3-70B-Instruct"],
    quirks: ["refuses penalties, seeds and log probabilities"],
  },
  moonshot: {
    ...HOSTED,
    title: "Moonshot AI",
    telemetryName: "moonshot_ai",
    baseUrl: "https://api.moonshot.ai/v1",
    environment: ["MOONSHOT_API_KEY"],
    wire: chat({ reasoningField: "reasoning_content" }),
    hints: ["kimi-k3", "kimi-k2.6"],
    quirks: ["reports cached tokens at the top of `usage`"],
  },
  vllm: {
    ...LOCAL,
    title: "vLLM",
    baseUrl: "http://127.0.0.1:8000/v1",
    baseUrlEnvironment: ["VLLM_BASE_URL"],
    environment: ["VLLM_API_KEY"],
    localPort: 8000,
    ownedBy: "vllm",
    wire: chat({ reasoningField: "reasoning" }),
    quirks: ["newer servers also speak `openai-responses` and `anthropic-messages`: name them in `dialects`"],
  },
  ollama: {
    ...LOCAL,
    title: "Ollama",
    baseUrl: "http://127.0.0.1:11434/v1",
    baseUrlEnvironment: ["OLLAMA_BASE_URL"],
    environment: ["OLLAMA_API_KEY"],
    localPort: 11_434,
    ownedBy: "library",
    dialects: [CHAT, OLLAMA, COMPLETIONS],
    besidePath: "/api/",
    wire: chat({ reasoningField: "reasoning" }),
    quirks: ["the context window is the server's setting, 4096 tokens unless changed"],
  },
  llamacpp: {
    ...LOCAL,
    title: "llama.cpp server",
    baseUrl: "http://127.0.0.1:8080/v1",
    baseUrlEnvironment: ["LLAMACPP_BASE_URL"],
    environment: ["LLAMA_API_KEY"],
    localPort: 8080,
    ownedBy: "llamacpp",
    wire: chat({ reasoningField: "reasoning_content" }),
    quirks: ["tools need the server's `--jinja`"],
  },
  lmstudio: {
    ...LOCAL,
    title: "LM Studio",
    baseUrl: "http://127.0.0.1:1234/v1",
    baseUrlEnvironment: ["LMSTUDIO_BASE_URL"],
    environment: ["LMSTUDIO_API_KEY"],
    localPort: 1234,
    ownedBy: "organization_owner",
    wire: chat({ reasoningField: "reasoning_content" }),
    quirks: [],
  },
  sglang: {
    ...LOCAL,
    title: "SGLang",
    baseUrl: "http://127.0.0.1:30000/v1",
    baseUrlEnvironment: ["SGLANG_BASE_URL"],
    environment: ["SGLANG_API_KEY"],
    localPort: 30_000,
    ownedBy: "sglang",
    wire: chat({ reasoningField: "reasoning_content" }),
    quirks: [],
  },
  "openai-compatible": {
    title: "Anything that speaks chat completions",
    auth: BEARER,
    environment: [],
    needsKey: false,
    dialects: [CHAT],
    wire: { maxTokensField: "max_tokens", streamUsage: true, refuses: [NO_CUSTOM_TOOLS] },
    assume: ASSUME,
    modelsPath: "/models",
    hints: [],
    quirks: ["`baseUrl` is needed, with its version: `https://host/v1`", "prices are unknown unless given under `models`"],
  },
};

/** The row for servers that have none of their own. */
export const GENERIC_KIND = "openai-compatible";

/** Every name that `kind:` may have. */
export const providerKinds: readonly string[] = Object.keys(CATALOG);

export function catalogRow(kind: string): CatalogRow | undefined {
  return Object.hasOwn(CATALOG, kind) ? CATALOG[kind] : undefined;
}

/** What the OpenTelemetry conventions call a provider of the configuration: they know vendors, not the names that users give. */
export function telemetryNameOf(name: string, kind: string = name): string {
  const row = kind === GENERIC_KIND ? undefined : catalogRow(kind);
  return row ? (row.telemetryName ?? kind) : name;
}
