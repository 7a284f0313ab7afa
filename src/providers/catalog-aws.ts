import type { Capabilities } from "../canon/index.ts";
import { awsProvider } from "./aws.ts";
import type { CatalogRow } from "./catalog.ts";

const ASSUME: Capabilities = { tools: true, vision: true, files: true, structuredOutput: true };

/** Models in Amazon's cloud. */
export const AWS_ROWS: Readonly<Record<string, CatalogRow>> = {
  bedrock: {
    title: "Amazon Bedrock",
    telemetryName: "aws.bedrock",
    // The region's own; see `create`.
    baseUrl: "https://bedrock-runtime.us-east-1.amazonaws.com",
    baseUrlEnvironment: ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"],
    auth: { style: "bearer" },
    environment: ["AWS_BEARER_TOKEN_BEDROCK"],
    needsKey: false,
    dialects: ["bedrock-converse"],
    wire: { streamUsage: true, audio: false },
    assume: ASSUME,
    create: awsProvider("bedrock"),
    hints: ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-pro-v1:0"],
    quirks: [
      "`region`, or `AWS_REGION`, is part of the address",
      "an API key (`apiKey`, `AWS_BEARER_TOKEN_BEDROCK`), or `accessKeyId`, `secretAccessKey` and `sessionToken` (`AWS_ACCESS_KEY_ID`, ...), with which requests are signed",
      "a clock that is wrong is noticed, and the request signed anew by the service's own",
      "streams travel as binary messages",
      "each maker's own parameters (`top_k`, thinking) are said by the model's name",
    ],
  },
};
