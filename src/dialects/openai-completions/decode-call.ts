import {
  invalid,
  type Call,
  type DoorContext,
  type Json,
  type JsonObject,
  type Needs,
  type Outline,
  type Part,
  type Sampling,
} from "../../canon/index.ts";
import { unspokenFields, type FieldTable } from "../shared-fields.ts";
import { FoundNeeds } from "../shared-needs.ts";
import { demand, isList, isObject, read } from "../shared-shape.ts";
import { ID, ORIGIN } from "./shape.ts";

/** Cheap: runs for every call on the fast path. @throws ProblemError */
export function outline(body: JsonObject): Outline {
  const model = demand(body, "model", "string");
  const maxOutputTokens = read(body, "max_tokens", "number");
  const choices = choicesIn(body);
  return {
    model,
    stream: read(body, "stream", "boolean") ?? false,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(choices > 1 && { choices }),
    keep: false,
    background: false,
  };
}

/** Answers that are paid for: `best_of` of them are written for each prompt, whatever becomes of them. */
function choicesIn(body: JsonObject): number {
  const each = Math.max(read(body, "n", "number") ?? 1, read(body, "best_of", "number") ?? 1);
  const { prompt } = body;
  const prompts = isList(prompt) && prompt.length > 1 && typeof prompt[0] !== "number" ? prompt.length : 1;
  return each * prompts;
}

export function needs(): Needs {
  return new FoundNeeds();
}

/** @throws ProblemError invalid_request */
export function decodeCall(body: JsonObject, context: DoorContext): Call {
  const { prompt, ...others } = body;
  const parts = decodePrompt(prompt);
  // Without words there is nothing that others could be told.
  const native = parts.length > 0 ? others : body;
  const maxOutputTokens = read(body, "max_tokens", "number");
  const endUser = read(body, "user", "string");
  const unspoken = unspokenFields(native, FIELDS);
  return {
    operation: context.operation,
    origin: { dialect: ID },
    model: demand(body, "model", "string"),
    stream: read(body, "stream", "boolean") ?? false,
    items: parts.length > 0 ? [{ type: "message", role: "user", parts, raw: { content: prompt }, origin: ORIGIN }] : [],
    tools: [],
    sampling: decodeSampling(body),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(endUser !== undefined && { endUser }),
    native,
    ...(unspoken.length > 0 && { unspoken }),
    touched: new Set(),
  };
}

/** What `decodeCall` says in the canonical form, by field. */
const FIELDS: FieldTable = {
  model: true,
  stream: true,
  prompt: true,
  stream_options: ["include_usage"],
  max_tokens: true,
  temperature: true,
  top_p: true,
  seed: true,
  presence_penalty: true,
  frequency_penalty: true,
  stop: true,
  n: true,
  logprobs: true,
  user: true,
  // The answer's encoder puts the prompt in front of it.
  echo: true,
  suffix: (value) => value === "",
  best_of: (value) => value === 1,
  logit_bias: (value) => isObject(value) && Object.keys(value).length === 0,
};

/** One text is words for any model. Several at once, and tokens of one model, only this language can carry. */
function decodePrompt(prompt: Json | undefined): readonly Part[] {
  if (prompt === undefined || prompt === null || prompt === "") return [];
  if (typeof prompt === "string") return [{ type: "text", text: prompt }];
  if (!isList(prompt) || prompt.length === 0) throw invalid("`prompt` must be a string, or a list of strings or tokens.", "prompt");
  const [first] = prompt;
  if (prompt.length === 1 && typeof first === "string") return [{ type: "text", text: first }];
  if (prompt.every((one) => typeof one === "string")) return [{ type: "unknown", kind: "several prompts", raw: prompt }];
  const isTokens = (list: Json): boolean => isList(list) && list.every((token) => typeof token === "number");
  if (isTokens(prompt) || prompt.every(isTokens)) return [{ type: "unknown", kind: "a prompt in tokens", raw: prompt }];
  throw invalid("`prompt` must be a string, or a list of strings or tokens.", "prompt");
}

function decodeSampling(body: JsonObject): Sampling {
  const values = {
    temperature: read(body, "temperature", "number"),
    topP: read(body, "top_p", "number"),
    seed: read(body, "seed", "number"),
    presencePenalty: read(body, "presence_penalty", "number"),
    frequencyPenalty: read(body, "frequency_penalty", "number"),
    stop: decodeStop(body["stop"]),
    n: read(body, "n", "number"),
    topLogprobs: read(body, "logprobs", "number"),
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function decodeStop(stop: Json | undefined): readonly string[] | undefined {
  if (stop === undefined || stop === null) return undefined;
  if (typeof stop === "string") return [stop];
  if (isList(stop) && stop.every((entry) => typeof entry === "string")) return stop;
  throw invalid("`stop` must be a string or a list of strings.", "stop");
}
