import type { Capabilities } from "../canon/index.ts";
import type { AuthStyle } from "./catalog.ts";

export const CHAT = "openai-chat";
export const RESPONSES = "openai-responses";
export const MESSAGES = "anthropic-messages";

export const BEARER: AuthStyle = { style: "bearer" };
/** Only one provider runs tools whose input is free text; elsewhere they become functions with one string. */
export const NO_CUSTOM_TOOLS = "tools[].custom";
export const ASSUME: Capabilities = { tools: true, vision: true, files: true, structuredOutput: true };
/** Chat completions as most servers speak it. */
const PLAIN_CHAT: Capabilities = {
  maxTokensField: "max_tokens",
  instructionsRole: "system",
  streamUsage: true,
  refuses: [NO_CUSTOM_TOOLS],
};

export const chat = (capabilities: Capabilities): Capabilities => ({
  ...PLAIN_CHAT,
  ...capabilities,
  refuses: [NO_CUSTOM_TOOLS, ...(capabilities.refuses ?? [])],
});

/** Vendors that are asked for reasoning by an effort and for repeatable answers by `seed`, and by nothing else. */
export const BY_EFFORT: Capabilities = { reasoningRequest: "reasoning_effort", renames: { random_seed: "seed" } };
/** What only some vendors take; where an unknown field is refused it is left out. */
export const OTHERS_FIELDS: readonly string[] = [
  "models",
  "provider",
  "plugins",
  "transforms",
  "route",
  "usage",
  "include_reasoning",
  "reasoning_format",
  "prompt_mode",
  "safe_prompt",
  "search_parameters",
];
/** The same without what one of them takes after all. */
export const othersBut = (...own: readonly string[]): readonly string[] => OTHERS_FIELDS.filter((field) => !own.includes(field));

const NOT_FOR_CHAT = String.raw`embed|whisper|tts|transcri|dall-e|moderation|guard|rerank|image|realtime|audio|sora|davinci|babbage|flux|stable-diffusion|speech|orpheus`;

export const HOSTED = {
  auth: BEARER,
  needsKey: true,
  dialects: [CHAT],
  assume: ASSUME,
  modelsPath: "/models",
  notForChat: NOT_FOR_CHAT,
  quirks: [],
} as const;
