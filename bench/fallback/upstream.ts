/** The mock upstream where there is no C compiler. Same answers as native/upstream.c. */
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";

const EVENTS = 50;
const GAP_MS = 10;

interface Script {
  readonly small: string;
  readonly large: string;
  readonly events: readonly string[];
}

function padded(make: (content: string) => unknown, bytes: number): string {
  const empty = JSON.stringify(make("")).length;
  return JSON.stringify(make("Gateways carry words. ".repeat(Math.ceil(bytes / 22)).slice(0, bytes - empty)));
}

const chatAnswer = (content: string): unknown => ({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1_795_258_800,
  model: "bench-model",
  choices: [{ index: 0, message: { role: "assistant", content, refusal: null, annotations: [] }, logprobs: null, finish_reason: "stop" }],
  usage: { prompt_tokens: 219, completion_tokens: 110, total_tokens: 329, prompt_tokens_details: { cached_tokens: 0 } },
});
const chatChunk = (choices: unknown[], usage: unknown): string =>
  `data: ${JSON.stringify({ id: "chatcmpl-bench", object: "chat.completion.chunk", created: 1_795_258_800, model: "bench-model", choices, usage })}\n\n`;
const delta = (content: string | undefined, finish: string | null): string =>
  chatChunk([{ index: 0, delta: content === undefined ? {} : { content }, logprobs: null, finish_reason: finish }], null);

const chat: Script = {
  small: padded(chatAnswer, 1_200),
  large: padded(chatAnswer, 10_240),
  events: [
    ...Array.from({ length: EVENTS - 2 }, (_, at) => delta(` word${at}`, null)),
    delta(undefined, "stop"),
    `${chatChunk([], { prompt_tokens: 219, completion_tokens: 48, total_tokens: 267 })}data: [DONE]\n\n`,
  ],
};

const message = (content: unknown[], stop: string | null, output: number): object => ({
  id: "msg_bench",
  type: "message",
  role: "assistant",
  model: "bench-model",
  content,
  stop_reason: stop,
  stop_sequence: null,
  usage: { input_tokens: 219, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: output },
});
const event = (data: { readonly type: string }): string => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const messageAnswer = (text: string): unknown => message([{ type: "text", text }], "end_turn", 110);

const messages: Script = {
  small: padded(messageAnswer, 1_200),
  large: padded(messageAnswer, 10_240),
  events: [
    event(Object.assign({ type: "message_start" }, { message: message([], null, 1) })) +
      event(Object.assign({ type: "content_block_start" }, { index: 0, content_block: { type: "text", text: "" } })),
    ...Array.from({ length: EVENTS - 2 }, (_, at) =>
      event(Object.assign({ type: "content_block_delta" }, { index: 0, delta: { type: "text_delta", text: ` word${at + 1}` } })),
    ),
    event(Object.assign({ type: "content_block_stop" }, { index: 0 })) +
      event(
        Object.assign({ type: "message_delta" }, { delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 48 } }),
      ) +
      event({ type: "message_stop" }),
  ],
};

function play(response: ServerResponse, script: Script, idle: boolean): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  if (idle) return void response.write(script.events[0]);
  let next = 0;
  const timer = setInterval(() => {
    const piece = script.events[next++];
    if (next < EVENTS) response.write(piece);
    else {
      clearInterval(timer);
      response.end(piece);
    }
  }, GAP_MS);
  response.on("close", () => clearInterval(timer));
}

const server = createServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => pieces.push(piece));
  request.on("end", () => {
    const url = request.url ?? "";
    const script = url.includes("/messages") ? messages : chat;
    if (Buffer.concat(pieces).includes('"stream":true')) return play(response, script, url.includes("/idle/"));
    const body = url.includes("/10k/") ? script.large : script.small;
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`ready on http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}\n`);
});
