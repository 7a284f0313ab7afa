import {
  AnswerFold,
  type Answer,
  type Dialect,
  type Event,
  type Headers,
  type Json,
  type Operation,
  type Problem,
  type Provider,
  type UpstreamCall,
} from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { createSimulator, simOptions } from "../../src/providers/sim/index.ts";
import { decodeStream } from "../support/streams.ts";

/** What a sink saw of one call. */
export interface Seen {
  status: number | undefined;
  headers: Headers;
  chunks: Buffer[];
  problem: Problem | undefined;
  ended: boolean;
  readonly order: string[];
}

export interface Opened {
  readonly seen: Seen;
  readonly over: Promise<Seen>;
  readonly cancel: () => void;
  readonly resume: () => void;
}

export const dialectIds = [...dialects.keys()];

export function dialectOf(id: string): Dialect {
  const dialect = dialects.get(id);
  if (!dialect) throw new Error(`no dialect ${id}`);
  return dialect;
}

/** Opens a call; `take` answers `onData`. */
export function open(provider: Provider, call: UpstreamCall, take: () => boolean = () => true): Opened {
  const seen: Seen = { status: undefined, headers: {}, chunks: [], problem: undefined, ended: false, order: [] };
  const { promise, resolve } = Promise.withResolvers<Seen>();
  const handle = provider.open(call, {
    onHead(status, headers) {
      seen.order.push("head");
      seen.status = status;
      seen.headers = headers;
    },
    onData(chunk) {
      seen.order.push("data");
      seen.chunks.push(chunk);
      return take();
    },
    onEnd() {
      seen.order.push("end");
      seen.ended = true;
      resolve(seen);
    },
    onProblem(problem) {
      seen.order.push("problem");
      seen.problem = problem;
      resolve(seen);
    },
  });
  return { seen, over: promise, cancel: () => handle.cancel(), resume: () => handle.resume() };
}

export const textOfSeen = (seen: Seen): string => Buffer.concat(seen.chunks).toString("utf8");

export function simulator(models: Json = {}, clock = new ManualClock()): { readonly provider: Provider; readonly clock: ManualClock } {
  const options = simOptions.parse({ models });
  return { provider: createSimulator("sim", options, { dialects, clock, randomness: new SeededRandomness(1) }), clock };
}

/** A body in chat completions, said in any dialect: the simulator is asked as the gateway would ask it. */
export function upstreamCall(
  dialectId: string,
  chatBody: Json,
  model: string,
  options: { readonly stream?: boolean; readonly attempt?: number; readonly operation?: Operation } = {},
): UpstreamCall {
  const { stream = false, attempt = 0, operation = "generate" } = options;
  const chat = dialectOf("openai-chat");
  const call = chat.decodeCall({ ...(chatBody as object), model, stream }, { operation: "generate", headers: {}, params: {} });
  const target = {
    provider: "sim",
    model,
    capabilities: { tools: true, vision: true, reasoning: true, structuredOutput: true, maxOutputTokens: 4096 },
  };
  const request = dialectOf(dialectId).encodeCall({ ...call, operation }, target, () => {});
  return { dialect: dialectId, operation, model, stream, request, attempt };
}

/** The answer that a call got, whichever way it came. */
export async function answerTo(
  provider: Provider,
  call: UpstreamCall,
): Promise<{ readonly answer: Answer; readonly events: readonly Event[]; readonly seen: Seen }> {
  const seen = await open(provider, call).over;
  const dialect = dialectOf(call.dialect);
  if (!call.stream)
    return {
      answer: dialect.decodeAnswer(JSON.parse(textOfSeen(seen)) as Json, { provider: "sim", operation: call.operation }),
      events: [],
      seen,
    };
  const events = decodeStream(dialect, seen.chunks);
  const fold = new AnswerFold({ dialect: dialect.id, provider: "sim" });
  for (const event of events) fold.event(event);
  if (fold.problem) throw new Error(fold.problem.message);
  return { answer: fold.answer(), events, seen };
}

export const user = (text: string): Json => ({ messages: [{ role: "user", content: text }] });
