import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DoorContext, EncodeTarget, JsonObject } from "../../../src/canon/index.ts";
import { isObject } from "../../../src/dialects/shared-shape.ts";
import { formatFrame, parseJson } from "../../../src/kit/index.ts";
import { readInteractions, readRecording, recordings, sharedData } from "../../support/shared.ts";

const PROVIDERS = ["cohere"];
const PATH = "/v2/chat";

export const target: EncodeTarget = { provider: "recorded", model: "command-a-03-2025", capabilities: {} };
export const context: DoorContext = { operation: "generate", headers: {}, params: {} };
export const present = sharedData("recordings") !== undefined;

interface Named {
  readonly name: string;
  readonly body: JsonObject;
}

const exchanges = recordings(PROVIDERS, ["exchange"]).flatMap(({ file }) =>
  readInteractions(file).flatMap(({ request, response }, at) =>
    request.path === PATH ? [{ name: `${file} ${at}`, body: request.body as JsonObject, answer: response.json as JsonObject }] : [],
  ),
);

/** Requests as released clients send them. */
const captured = ["ai-cohere", "cohere-sdk"].flatMap((folder): Named[] => {
  const where = sharedData(join("captures", folder));
  if (!where) return [];
  return readdirSync(where).flatMap((file) => {
    const capture = parseJson(readFileSync(join(where, file), "utf8"));
    return isObject(capture) && capture["path"] === PATH && isObject(capture["body"])
      ? [{ name: `${folder} ${file}`, body: capture["body"] }]
      : [];
  });
});

export const requests: readonly Named[] = [...exchanges, ...captured];

export const answers: readonly Named[] = [
  ...exchanges.map(({ name, answer }) => ({ name, body: answer })),
  ...recordings(PROVIDERS, ["response"]).flatMap(({ file }) => {
    const body = parseJson(readRecording(file));
    return isObject(body) && body["message"] !== undefined ? [{ name: file, body }] : [];
  }),
];

export const streams: readonly { readonly name: string; readonly bytes: Buffer }[] = recordings(PROVIDERS, ["stream"]).map(({ file }) => ({
  name: file,
  bytes: Buffer.from(
    readRecording(file)
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => formatFrame((parseJson(line) as { type: string }).type, line.trim()))
      .join(""),
  ),
}));
