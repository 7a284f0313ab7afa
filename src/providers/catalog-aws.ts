import type { Capabilities } from "../canon/index.ts";
import { invokedMessages } from "../dialects/bedrock-converse/hosting.ts";
import { awsProvider } from "./aws.ts";
import type { CatalogRow } from "./catalog.ts";

const ASSUME: Capabilities = { tools: true, vision: true, files: true, structuredOutput: true };

const CLOUD = {
  telemetryName: "aws.bedrock",
  // The region's own; see `create`.
  baseUrl: "https://bedrock-runtime.us-east-1.amazonaws.com",
  baseUrlEnvironment: ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"],
  auth: { style: "bearer" },
  environment: ["AWS_BEARER_TOKEN_BEDROCK"],
  needsKey: false,
  assume: ASSUME,
} as const;
const CLOUD_QUIRKS = [
  "`region`, or `AWS_REGION`, is part of the address",
  "an API key (`apiKey`, `AWS_BEARER_TOKEN_BEDROCK`), or `accessKeyId`, `secretAccessKey` and `sessionToken` (`AWS_ACCESS_KEY_ID`, ...), with which requests are signed",
  "a clock that is wrong is noticed, and the request signed anew by the service's own",
  "streams travel as binary messages",
];

/** Opt-ins that the service takes; it refuses a request that names another. Source: its guide's "Anthropic Claude Messages API". */
const HOSTED_BETAS = [
  "computer-use-2025-01-24",
  "computer-use-2025-11-24",
  "context-1m-2025-08-07",
  "context-management-2025-06-27",
  "dev-full-thinking-2025-05-14",
  "effort-2025-11-24",
  "fine-grained-tool-streaming-2025-05-14",
  "interleaved-thinking-2025-05-14",
  "output-128k-2025-02-19",
  "token-efficient-tools-2025-02-19",
  "tool-examples-2025-10-29",
  "tool-search-tool-2025-10-19",
];

/** Models in Amazon's cloud. */
export const AWS_ROWS: Readonly<Record<string, CatalogRow>> = {
  bedrock: {
    ...CLOUD,
    title: "Amazon Bedrock",
    dialects: ["bedrock-converse"],
    wire: { streamUsage: true, audio: false },
    create: awsProvider("bedrock"),
    hints: ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-pro-v1:0"],
    quirks: [...CLOUD_QUIRKS, "each maker's own parameters (`top_k`, thinking) are said by the model's name"],
  },
  "bedrock-anthropic": {
    ...CLOUD,
    title: "Anthropic on Amazon Bedrock",
    dialects: ["anthropic-messages"],
    wire: {
      versions: ["2026-10-21", "2023-06-01"],
      betas: HOSTED_BETAS,
      streamUsage: true,
      // The maker's own servers have them, the cloud does not.
      refuses: ["container", "inference_geo", "mcp_servers", "service_tier"],
    },
    create: awsProvider("bedrock", invokedMessages),
    hints: ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-haiku-4-5-20251001-v1:0"],
    quirks: [
      ...CLOUD_QUIRKS,
      "models are invoked in their maker's own language: what it alone can say arrives",
      "tokens are counted by the service",
    ],
  },
};
