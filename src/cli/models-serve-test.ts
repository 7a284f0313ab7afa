import { parseJson } from "../kit/index.ts";
import { CommandError, DONE, UsageError, wholeNumber, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { runningServer } from "./running.ts";
import { DATA_FLAG, dataFolderOf, setting } from "./settings.ts";

const DEFAULT_TOKENS = 128;
const MOST_TOKENS = 100_000;
const DEFAULT_PROMPT = "Tell a long story about a lighthouse.";

interface Measured {
  readonly model: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
  /** After the first token; undefined where there was no second. */
  readonly tokensPerSecond: number | undefined;
}

/** Asks through the running gateway, like any caller: what is measured is what callers get. */
const serveTestCommand: Command = {
  name: "models serve-test",
  summary: "Ask a model through the running gateway once, and say how fast it answered.",
  operands: ["MODEL"],
  flags: {
    ...DATA_FLAG,
    tokens: { value: "N", meaning: `Tokens to ask for at most; default ${DEFAULT_TOKENS}.` },
    prompt: { value: "TEXT", meaning: "What it is asked." },
  },
  async run(input, deps) {
    const server = await runningServer(dataFolderOf(input, deps), deps);
    if (!server) throw new CommandError("No gateway serves from this data folder; start one with gimbal serve.");
    const measured = await measure(server.url, input, deps);
    if (input.json) deps.out(`${JSON.stringify(measured)}\n`);
    else
      deps.out(
        `${measured.model}: first token after ${measured.firstTokenMs.toFixed(0)} ms, ${
          measured.tokensPerSecond === undefined ? "no second one" : `then ${measured.tokensPerSecond.toFixed(1)} tokens a second`
        } (${measured.inputTokens} read, ${measured.outputTokens} written in ${measured.totalMs.toFixed(0)} ms)\n`,
      );
    return DONE;
  },
};

async function measure(url: string, input: Input, deps: CliDeps): Promise<Measured> {
  const model = input.operands[0] ?? "";
  if (model === "") throw new UsageError("Name a model: an alias, or provider/model.");
  const key = setting(deps, "GIMBAL_API_KEY");
  const body = {
    model,
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: wholeNumber(input, "tokens", 1, MOST_TOKENS) ?? DEFAULT_TOKENS,
    messages: [{ role: "user", content: input.text("prompt") ?? DEFAULT_PROMPT }],
  };
  const begun = deps.clock.monotonic();
  const response = await deps.fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-gimbal-cache": "no-store",
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(body),
    redirect: "error",
  });
  if (!response.ok || !response.body) throw refusal(await response.text(), response.status);
  let firstAt: number | undefined;
  let usage: { readonly prompt_tokens?: unknown; readonly completion_tokens?: unknown } | undefined;
  for await (const frame of framesOf(response.body)) {
    const chunk = parseJson(frame) as Chunk | undefined;
    if (chunk?.error) throw refusal(frame, response.status);
    const delta = chunk?.choices?.[0]?.delta;
    if (delta && (delta.content || delta.reasoning_content || delta.tool_calls)) firstAt ??= deps.clock.monotonic();
    usage = chunk?.usage ?? usage;
  }
  const endedAt = deps.clock.monotonic();
  if (firstAt === undefined) throw new CommandError(`${model} answered nothing.`);
  const outputTokens = Number(usage?.completion_tokens ?? 0);
  return {
    model,
    inputTokens: Number(usage?.prompt_tokens ?? 0),
    outputTokens,
    firstTokenMs: firstAt - begun,
    totalMs: endedAt - begun,
    tokensPerSecond: outputTokens > 1 ? (outputTokens - 1) / Math.max((endedAt - firstAt) / 1000, 0.001) : undefined,
  };
}

interface Chunk {
  readonly error?: unknown;
  readonly usage?: { readonly prompt_tokens?: unknown; readonly completion_tokens?: unknown } | null;
  readonly choices?: readonly {
    readonly delta?: { readonly content?: unknown; readonly reasoning_content?: unknown; readonly tool_calls?: unknown };
  }[];
}

/** The data of each server-sent event. */
async function* framesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const text = new TextDecoder();
  let rest = "";
  for await (const bytes of body) {
    rest += text.decode(bytes, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("data: {")) yield line.slice("data: ".length);
  }
}

function refusal(text: string, status: number): CommandError {
  const { error } = (parseJson(text) as { readonly error?: { readonly message?: unknown } } | undefined) ?? {};
  return new CommandError(typeof error?.message === "string" ? error.message : `The gateway answered ${status}.`);
}

export const SERVE_TEST_COMMANDS: readonly Command[] = [serveTestCommand];
