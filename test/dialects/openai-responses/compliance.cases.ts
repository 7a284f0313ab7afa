import {
  compactionFaults,
  errorFaults,
  isFields,
  isTerminal,
  itemFaults,
  responseFaults,
  streamFaults,
  type Fields,
} from "./compliance.shapes.ts";

/**
 * The seventeen things that the Open Responses acceptance page asks of a server, seven of them over a WebSocket, as data. Written from the
 * specification; the names are those under which the public suite lists them, so that results can be compared.
 */
export interface ComplianceCase {
  readonly name: string;
  readonly stream?: boolean;
  readonly webSocket?: boolean;
  /** What is asked, step by step. */
  readonly request: readonly ComplianceStep[];
  /** What is wrong with the results; empty when the server complies. */
  check(results: readonly StepResult[]): string[];
}

export interface ComplianceStep {
  /** Below the base address; `/responses` unless said otherwise. */
  readonly path?: string;
  /** Also in a WebSocket case: asked over HTTP. */
  readonly http?: boolean;
  /** On a connection of its own, after the one before was closed. */
  readonly reconnect?: boolean;
  body(model: string, before: readonly StepResult[]): Fields;
}

/** What came back of one step. */
export interface StepResult {
  /** The HTTP status; 0 over a WebSocket. */
  readonly status: number;
  readonly contentType: string;
  /** The body of a plain answer. */
  readonly body: unknown;
  readonly events: readonly Fields[];
  /** Event names of a stream that differ from the type inside. */
  readonly misnamed: readonly string[];
}

/** Longest wait for one step. */
const STEP_TIMEOUT_MS = 30_000;
const PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const user = (content: unknown): Fields => ({ type: "message", role: "user", content });

/** The response object of a plain answer or of a stream's end. */
export function responseOf(result: StepResult | undefined): Fields | undefined {
  if (!result) return undefined;
  const end = result.events.findLast(isTerminal);
  const response = end ? end["response"] : result.body;
  return isFields(response) ? response : undefined;
}

function completed(result: StepResult | undefined): string[] {
  const response = responseOf(result);
  if (result && result.status >= 400) return [`status ${result.status}: ${JSON.stringify(result.body)}`];
  if (!response) return [`no response came: ${JSON.stringify(result?.events.at(-1) ?? result?.body ?? null)}`];
  const faults = responseFaults(response);
  if (response["status"] !== "completed") faults.push(`the response is ${JSON.stringify(response["status"]) ?? "in no state"}`);
  if (!Array.isArray(response["output"]) || response["output"].length === 0) faults.push("the output is empty");
  return faults;
}

function streamed(result: StepResult | undefined): string[] {
  return [
    ...completed(result),
    ...streamFaults(result?.events ?? []),
    ...(result?.misnamed ?? []).map((name) => `the event line says ${name}`),
  ];
}

function idOf(result: StepResult | undefined): string {
  const id = responseOf(result)?.["id"];
  return typeof id === "string" ? id : "";
}

/** The code of the error a step ended with. */
function errorCode(result: StepResult | undefined): unknown {
  const event = result?.events.find(({ type }) => type === "error");
  const error = event ? (isFields(event["error"]) ? event["error"] : event) : isFields(result?.body) ? result.body["error"] : undefined;
  return isFields(error) ? error["code"] : undefined;
}

function notFound(result: StepResult | undefined): string[] {
  const code = errorCode(result);
  return code === "previous_response_not_found"
    ? []
    : [`the error's code is ${JSON.stringify(code) ?? "missing"}, not previous_response_not_found`];
}

const plain = (name: string, more: Fields, extra: (result: StepResult | undefined) => string[] = () => []): ComplianceCase => ({
  name,
  request: [{ body: (model) => ({ model, ...more }) }],
  check: ([result]) => [...completed(result), ...extra(result)],
});

const HTTP_CASES: readonly ComplianceCase[] = [
  plain("basic-response", { input: [user("Greet me in three words.")] }, (result) =>
    result?.contentType.startsWith("application/json") ? [] : [`the content type is ${result?.contentType ?? "missing"}`],
  ),
  plain("assistant-phase", {
    input: [
      user("Book a table for two."),
      { type: "message", role: "assistant", phase: "commentary", content: [{ type: "output_text", text: "Let me look for a free one." }] },
      { type: "message", role: "assistant", phase: "final_answer", content: [{ type: "output_text", text: "It is booked for eight." }] },
      user("At what time?"),
    ],
  }),
  plain("response-output-phase-schema", { input: [user("Say yes.")] }, () => {
    const message = { type: "message", id: "msg_1", status: "completed", role: "assistant", content: [] };
    // The shape itself must know both labels and refuse a third.
    const known = ["commentary", "final_answer"].flatMap((phase) => itemFaults("sample", { ...message, phase }));
    return itemFaults("sample", { ...message, phase: "musing" }).length > 0 ? known : [...known, "an unknown phase is accepted"];
  }),
  {
    name: "streaming-response",
    stream: true,
    request: [{ body: (model) => ({ model, stream: true, input: [user("Count from one to five.")] }) }],
    check: ([result]) => [
      ...streamed(result),
      ...(result?.contentType.startsWith("text/event-stream") ? [] : [`the content type is ${result?.contentType ?? "missing"}`]),
      ...(result?.events.some(({ type }) => type === "response.output_text.delta") ? [] : ["no text was streamed"]),
    ],
  },
  plain("system-prompt", { input: [{ type: "message", role: "system", content: "You talk like a pirate." }, user("Say hello.")] }),
  plain(
    "tool-calling",
    {
      input: [user("What is the weather in Paris?")],
      tool_choice: "required",
      tools: [
        {
          type: "function",
          name: "get_weather",
          description: "The weather at a place.",
          parameters: { type: "object", properties: { location: { type: "string" } }, required: ["location"] },
        },
      ],
    },
    (result) => {
      const output = responseOf(result)?.["output"];
      const called =
        Array.isArray(output) &&
        output.some((item: unknown) => isFields(item) && item["type"] === "function_call" && item["name"] === "get_weather");
      return called ? [] : ["get_weather was not called"];
    },
  ),
  plain("image-input", {
    input: [
      user([
        { type: "input_text", text: "What is in this image?" },
        { type: "input_image", image_url: PIXEL },
      ]),
    ],
  }),
  plain("multi-turn", {
    input: [
      user("My name is Ada."),
      { type: "message", role: "assistant", content: "Hello Ada, how can I help?" },
      user("What is my name?"),
    ],
  }),
  {
    name: "compact-response",
    request: [
      {
        path: "/responses/compact",
        body: (model) => ({
          model,
          prompt_cache_key: "compliance",
          input: [
            user("Remember the word ember."),
            { type: "message", role: "assistant", content: "I will." },
            user("And the number nine."),
          ],
        }),
      },
    ],
    check: ([result]) =>
      result?.status === 200 ? compactionFaults(result.body) : [`status ${result?.status ?? 0}: ${JSON.stringify(result?.body ?? null)}`],
  },
  {
    name: "compact-missing-model",
    request: [{ path: "/responses/compact", body: () => ({ input: [user("Remember the word ember.")] }) }],
    check: ([result]) => [
      ...(result && result.status >= 400 && result.status < 500 ? [] : [`status ${result?.status ?? 0}`]),
      ...errorFaults(result?.body),
    ],
  },
];

const say = (text: string, more: Fields = {}): ComplianceStep => ({
  body: (model) => ({ model, store: false, input: [user(text)], ...more }),
});
const goOn = (text: string, from: number, more: Partial<ComplianceStep> = {}): ComplianceStep => ({
  ...more,
  body: (model, before) => ({ model, store: false, previous_response_id: idOf(before[from]), input: [user(text)] }),
});

const SOCKET_CASES: readonly ComplianceCase[] = [
  { name: "websocket-response", webSocket: true, request: [say("Say hello.")], check: ([result]) => streamed(result) },
  {
    name: "websocket-sequential-responses",
    webSocket: true,
    request: [say("Say one."), say("Say two.")],
    check: (results) => [...results.flatMap(streamed), ...(idOf(results[0]) === idOf(results[1]) ? ["both responses bear one id"] : [])],
  },
  {
    name: "websocket-continuation",
    webSocket: true,
    request: [say("Remember the word ember."), goOn("Which word was it?", 0)],
    check: (results) => [
      ...results.flatMap(streamed),
      ...(responseOf(results[1])?.["previous_response_id"] === idOf(results[0]) ? [] : ["the second response does not name the first"]),
    ],
  },
  {
    name: "websocket-reconnect-store-false-recovery",
    webSocket: true,
    request: [say("Remember the word ember."), goOn("Which word was it?", 0, { reconnect: true }), say("Begin anew.")],
    check: ([first, second, third]) => [...streamed(first), ...notFound(second), ...streamed(third)],
  },
  {
    name: "websocket-previous-response-not-found",
    webSocket: true,
    request: [{ body: (model) => ({ model, store: false, previous_response_id: "resp_that_never_was", input: [user("Go on.")] }) }],
    check: ([result]) => notFound(result),
  },
  {
    name: "websocket-failed-continuation-evicts-cache",
    webSocket: true,
    request: [
      say("Remember the word ember."),
      {
        body: (model, before) => ({
          model,
          store: false,
          previous_response_id: idOf(before[0]),
          input: [{ type: "function_call_output", call_id: "call_that_never_was", output: "nothing" }],
        }),
      },
      goOn("Which word was it?", 0),
    ],
    check: ([first, second, third]) => [
      ...streamed(first),
      ...(errorCode(second) === undefined ? ["a result without its call was accepted"] : []),
      ...notFound(third),
    ],
  },
  {
    name: "websocket-compact-new-chain",
    webSocket: true,
    request: [
      {
        path: "/responses/compact",
        http: true,
        body: (model) => ({ model, input: [user("Remember the word ember."), { type: "message", role: "assistant", content: "I will." }] }),
      },
      { body: (model, before) => ({ model, store: false, input: [...outputOf(before[0]), user("Which word was it?")] }) },
      goOn("And again?", 1),
    ],
    check: ([compacted, second, third]) => [...compactionFaults(compacted?.body), ...streamed(second), ...streamed(third)],
  },
];

function outputOf(result: StepResult | undefined): readonly unknown[] {
  const output = isFields(result?.body) ? result.body["output"] : undefined;
  return Array.isArray(output) ? (output as unknown[]) : [];
}

export const COMPLIANCE_CASES: readonly ComplianceCase[] = [...HTTP_CASES, ...SOCKET_CASES];

/** Runs one case against a live server; `baseUrl` ends in `/v1`. Returns what is wrong, which is nothing for a server that complies. */
export async function runCase(baseUrl: string, one: ComplianceCase, model: string): Promise<string[]> {
  const results: StepResult[] = [];
  let socket: SocketClient | undefined;
  try {
    for (const step of one.request) {
      const body = step.body(model, results);
      if (!one.webSocket || step.http) {
        results.push(await askHttp(`${baseUrl}${step.path ?? "/responses"}`, body));
        continue;
      }
      if (step.reconnect) {
        await socket?.close();
        socket = undefined;
      }
      socket ??= await SocketClient.open(`${baseUrl.replace(/^http/, "ws")}/responses`);
      results.push(await socket.ask(body));
    }
  } finally {
    await socket?.close();
  }
  return one.check(results);
}

async function askHttp(url: string, body: Fields): Promise<StepResult> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(STEP_TIMEOUT_MS),
  });
  const contentType = response.headers.get("content-type") ?? "";
  const content = await response.text();
  const base = { status: response.status, contentType };
  if (!contentType.startsWith("text/event-stream"))
    return { ...base, body: content === "" ? undefined : (JSON.parse(content) as unknown), events: [], misnamed: [] };
  const events: Fields[] = [];
  const misnamed: string[] = [];
  for (const frame of content.split("\n\n")) {
    const lines = frame.split("\n");
    const data = lines.find((line) => line.startsWith("data: "))?.slice("data: ".length);
    if (data === undefined || data === "[DONE]") continue;
    const event = JSON.parse(data) as Fields;
    const name = lines.find((line) => line.startsWith("event: "))?.slice("event: ".length);
    if (name !== event["type"]) misnamed.push(name ?? "nothing");
    events.push(event);
  }
  return { ...base, body: undefined, events, misnamed };
}

/** One connection; calls go over it one after another. */
class SocketClient {
  readonly #socket: WebSocket;
  #waiting: { events: Fields[]; done: (result: StepResult) => void; failed: (error: Error) => void } | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", (message) => this.#message(JSON.parse(String(message.data)) as Fields));
    socket.addEventListener("close", () => this.#waiting?.failed(new Error("The connection was closed in the middle of a call.")));
  }

  static open(url: string): Promise<SocketClient> {
    const socket = new WebSocket(url);
    return new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve(new SocketClient(socket)));
      socket.addEventListener("error", () => reject(new Error(`No WebSocket could be opened at ${url}.`)));
    });
  }

  ask(body: Fields): Promise<StepResult> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("No answer came over the WebSocket.")), STEP_TIMEOUT_MS);
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
      };
      this.#waiting = {
        events: [],
        done: (result) => {
          settle();
          resolve(result);
        },
        failed: (error) => {
          settle();
          reject(error);
        },
      };
      this.#socket.send(JSON.stringify({ type: "response.create", ...body }));
    });
  }

  close(): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.addEventListener("close", () => resolve());
      this.#socket.close();
    });
  }

  /** An error that comes before anything else ends the call; one in a stream is followed by the failed response. */
  #message(event: Fields): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    waiting.events.push(event);
    const refused = event["type"] === "error" && waiting.events.length === 1;
    if (refused || isTerminal(event)) waiting.done({ status: 0, contentType: "", body: undefined, events: waiting.events, misnamed: [] });
  }
}
