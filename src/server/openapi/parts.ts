import { PROBLEM_KINDS, type JsonObject, type Operation } from "../../canon/index.ts";
import { text } from "./shapes.ts";

/** Content that is told piece by piece. */
export const SOME_STREAM: JsonObject = { schema: text };

const CALL_HEADERS: Readonly<Record<string, string>> = {
  "x-gimbal-metadata": "A flat JSON object for reports.",
  "x-gimbal-session": "The session that the call belongs to.",
  "x-gimbal-cache": "`no-store` or `only-if-cached`.",
  "x-gimbal-on-disconnect": "`cancel` or `detach`.",
  "idempotency-key": "The same key gets the same answer for 24 hours.",
  traceparent: "The trace that the call belongs to (W3C Trace Context).",
};

/** Headers that calls may have, by reference. */
export function callHeaders(operation: Operation): readonly JsonObject[] {
  return operation === "count_tokens" ? [] : Object.keys(CALL_HEADERS).map((name) => ({ $ref: `#/components/parameters/${name}` }));
}

export const PARAMETERS: JsonObject = Object.fromEntries(
  Object.entries(CALL_HEADERS).map(([name, description]) => [name, { name, in: "header", description, schema: text }]),
);

export const HEADERS: JsonObject = {
  "x-gimbal-problem": { description: "The kind of failure.", schema: { type: "string", enum: Object.keys(PROBLEM_KINDS) } },
  "x-gimbal-call-id": { description: "Names the call in `/v1/calls/{id}`.", schema: text },
  "x-gimbal-target": { description: "`provider/model` that answered.", schema: text },
  "x-gimbal-attempts": { description: "How many were made.", schema: { type: "integer" } },
  "x-gimbal-cache": { description: "`hit`, `miss` or `bypass`.", schema: text },
};
