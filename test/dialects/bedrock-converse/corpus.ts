import type { Call, DoorContext, EncodeTarget, JsonObject } from "../../../src/canon/index.ts";
import { eventMessages } from "../../../src/dialects/bedrock-converse/framing.ts";
import { isObject } from "../../../src/dialects/shared-shape.ts";
import { parseJson } from "../../../src/kit/index.ts";
import { readInteractions, readRecording, recordings, sharedData } from "../../support/shared.ts";

const PROVIDERS = ["amazon-bedrock"];
const PATH = /^\/model\/(.+)\/converse(-stream)?$/;

export const target: EncodeTarget = { provider: "recorded", model: "us.anthropic.claude-sonnet-4-5", capabilities: {} };

export function context(path = "/model/m/converse"): DoorContext {
  const [, model = "", stream] = PATH.exec(path) ?? [];
  return { operation: "generate", headers: {}, params: { model: decodeURIComponent(model), ...(stream && { stream: "true" }) } };
}

interface Exchange {
  readonly name: string;
  readonly path: string;
  readonly body: JsonObject;
  readonly status: number;
  readonly answer: JsonObject | undefined;
  readonly stream: Buffer | undefined;
}

/** Every recorded exchange in this language. */
export const exchanges: readonly Exchange[] = recordings(PROVIDERS, ["exchange", "exchange-stream"]).flatMap(({ file }) =>
  readInteractions(file).flatMap(({ request, response }, at): Exchange[] => {
    if (!PATH.test(request.path) || !isObject(request.body as JsonObject)) return [];
    const { json, body_base64: bytes } = response as { json?: JsonObject; body_base64?: string };
    const stream = bytes === undefined ? undefined : Buffer.from(bytes, "base64");
    return [{ name: `${file} ${at}`, path: request.path, body: request.body as JsonObject, status: response.status, answer: json, stream }];
  }),
);

/** Events that were recorded decoded, one a line, as their messages. */
const lines = recordings(PROVIDERS, ["stream"]).map(({ file }) => ({
  name: file,
  bytes: Buffer.concat(
    readRecording(file)
      .split("\n")
      .flatMap((line) => Object.entries((parseJson(line) ?? {}) as JsonObject))
      .map(([event, body]) => eventMessages.format(event, JSON.stringify(body))),
  ),
}));

/** Every recorded stream, as bytes. */
export const streams: readonly { readonly name: string; readonly bytes: Buffer }[] = [
  ...exchanges.flatMap(({ name, stream }) => (stream ? [{ name, bytes: stream }] : [])),
  ...lines,
];

/** Every plain answer. */
export const answers: readonly { readonly name: string; readonly body: JsonObject }[] = [
  ...exchanges.flatMap(({ name, answer, status }) => (answer && status === 200 ? [{ name, body: answer }] : [])),
  ...recordings(PROVIDERS, ["response"]).flatMap(({ file }) => {
    const body = parseJson(readRecording(file));
    return isObject(body) && body["output"] !== undefined ? [{ name: file, body }] : [];
  }),
];

export const present = sharedData("recordings") !== undefined;

/** A call as another language's decoder would give it. */
export function foreignCall(patch: Partial<Call>): Call {
  return {
    operation: "generate",
    origin: { dialect: "other" },
    model: "m",
    stream: false,
    items: [{ type: "message", role: "user", parts: [{ type: "text", text: "hi" }] }],
    tools: [],
    sampling: {},
    native: {},
    touched: new Set(),
    ...patch,
  };
}
