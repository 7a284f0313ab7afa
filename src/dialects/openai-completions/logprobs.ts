import type { Json, JsonObject } from "../../canon/index.ts";
import { isList, isObject, object, text } from "../shared-shape.ts";

/**
 * Log probabilities: here four lists side by side, in the canonical form one entry a token, as chat completions have them. `undefined` where
 * there are none.
 */
export function tokensFrom(logprobs: Json | undefined): readonly Json[] | undefined {
  const { tokens, token_logprobs: values, top_logprobs: tops } = object(logprobs) ?? {};
  if (!isList(tokens) || tokens.length === 0) return undefined;
  return tokens.map((token, at) => {
    const others = isList(tops) ? object(tops[at]) : undefined;
    return {
      token,
      logprob: isList(values) ? (values[at] ?? null) : null,
      bytes: null,
      top_logprobs: Object.entries(others ?? {}).map(([other, logprob]) => ({ token: other, logprob: logprob ?? null, bytes: null })),
    };
  });
}

/** `offset`: letters of the text before these tokens. */
export function tokensTo(entries: readonly Json[], offset: number): JsonObject {
  const tokens: Json[] = [];
  const values: Json[] = [];
  const tops: Json[] = [];
  const offsets: Json[] = [];
  let at = offset;
  for (const entry of entries) {
    if (!isObject(entry)) continue;
    const token = text(entry["token"]) ?? "";
    tokens.push(token);
    values.push(entry["logprob"] ?? null);
    const others = isList(entry["top_logprobs"]) ? entry["top_logprobs"].filter(isObject) : [];
    tops.push(Object.fromEntries(others.map((other) => [text(other["token"]) ?? "", other["logprob"] ?? null])));
    offsets.push(at);
    at += token.length;
  }
  return { tokens, token_logprobs: values, top_logprobs: tops, text_offset: offsets };
}
