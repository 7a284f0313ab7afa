import type { Capabilities, Provider } from "../canon/index.ts";
import { AWS_ROWS } from "./catalog-aws.ts";
import { GOOGLE_ROWS } from "./catalog-google.ts";
import { HOSTED_ROWS } from "./catalog-hosted.ts";
import { ASSUME, BEARER, BY_EFFORT, chat, CHAT, HOSTED, MESSAGES, NO_CUSTOM_TOOLS, OTHERS_FIELDS, RESPONSES } from "./catalog-parts.ts";
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
  /** It loads a model with its first call, and can be told to do so before. */
  readonly loads?: true;
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

const OLLAMA = "ollama-chat";
const COMPLETIONS = "openai-completions";

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
    wire: { ...BY_EFFORT, maxTokensField: "max_completion_tokens", streamUsage: true, refuses: OTHERS_FIELDS },
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
  ...HOSTED_ROWS,
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
    loads: true,
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
