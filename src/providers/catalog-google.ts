import type { Capabilities } from "../canon/index.ts";
import type { CatalogRow } from "./catalog.ts";
import { vertexProvider } from "./vertex.ts";

const GEMINI = "gemini";
const CHAT = "openai-chat";
const MESSAGES = "anthropic-messages";

const ASSUME: Capabilities = { tools: true, vision: true, files: true, audio: true, structuredOutput: true, reasoning: true };

const CLOUD = {
  // Of the place `global`; others have hosts of their own.
  baseUrl: "https://aiplatform.googleapis.com",
  auth: { style: "bearer" },
  environment: [],
  needsKey: false,
  assume: ASSUME,
} as const;
const CLOUD_QUIRKS = [
  "`project` and `location` (default `global`) name what is paid and where it runs",
  "`serviceAccount` or `serviceAccountFile` sign it in; `applicationDefault: true` uses what the machine has",
  "tokens are kept, renewed five minutes before their end, and replaced once when refused",
];

/** Google's own ways to its models. */
export const GOOGLE_ROWS: Readonly<Record<string, CatalogRow>> = {
  gemini: {
    title: "Google Gemini",
    telemetryName: "gcp.gemini",
    baseUrl: "https://generativelanguage.googleapis.com",
    baseUrlEnvironment: ["GOOGLE_GEMINI_BASE_URL"],
    versionPath: "/v1beta",
    // Files are sent there.
    besidePath: "/upload/",
    auth: { style: "header", name: "x-goog-api-key" },
    environment: ["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    needsKey: true,
    dialects: [GEMINI, CHAT],
    // Its second language is a layer of its own over the first: another path, and the key where that language has it.
    apart: { [CHAT]: { path: "/openai", auth: { style: "bearer" } } },
    wire: { maxTokensField: "max_tokens", streamUsage: true, instructionsRole: "system", refuses: ["tools[].custom"] },
    assume: ASSUME,
    modelsPath: "/models?pageSize=1000",
    notForChat: "embed|imagen|veo|aqa|tts|live|native-audio|lyria|-image",
    hints: ["gemini-3-flash-preview", "gemini-2.5-flash", "gemini-2.5-pro"],
    quirks: [
      "thoughts are counted beside the answer, and paid as output",
      "clients of chat completions reach its own endpoint for them, unread",
      "function calls of other models are marked as such, because newer models refuse them without a signature",
    ],
  },
  vertex: {
    ...CLOUD,
    title: "Google Vertex AI",
    telemetryName: "gcp.vertex_ai",
    dialects: [GEMINI],
    // A count's request is not wrapped here.
    wire: { streamUsage: true, refuses: ["generateContentRequest"] },
    create: vertexProvider({ name: "google" }),
    hints: ["gemini-2.5-flash", "gemini-2.5-pro"],
    quirks: CLOUD_QUIRKS,
  },
  "vertex-anthropic": {
    ...CLOUD,
    title: "Anthropic on Google Vertex AI",
    telemetryName: "gcp.vertex_ai",
    dialects: [MESSAGES],
    wire: { versions: ["2023-06-01"], betas: ["*"], streamUsage: true },
    // Source: the SDK's client for this platform, which puts the wire version into the body.
    create: vertexProvider({ name: "anthropic", raw: { anthropic_version: "vertex-2023-10-16" } }),
    hints: ["claude-sonnet-4-5@20250929", "claude-haiku-4-5@20251001"],
    quirks: [...CLOUD_QUIRKS, "the model stands in the path, and its date follows an `@`"],
  },
};
