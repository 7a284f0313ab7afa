import { AjvJsonSchemaValidator } from "@modelcontextprotocol/server/validators/ajv";
import { ProblemError } from "../canon/index.ts";
import { refusedWords, RELAY_OF } from "./connection.ts";
import { plain } from "./names.ts";
import type { Upstream } from "./upstream.ts";

/** A server of the newer revision asks by its answer. @throws ProblemError forbidden */
export function assertAllowed({ name, options }: Upstream, result: unknown): void {
  const requests: unknown = typeof result === "object" && result !== null && "inputRequests" in result ? result.inputRequests : undefined;
  if (typeof requests !== "object" || requests === null) return;
  for (const request of Object.values(requests) as { readonly method?: unknown }[]) {
    const method = String(request?.method);
    const needs = RELAY_OF[method];
    if (needs === undefined || !options.relay.includes(needs))
      throw new ProblemError({ kind: "forbidden", message: refusedWords(name, method) });
  }
}

const validators = new WeakMap<object, (value: unknown) => { valid: boolean; errorMessage?: string | undefined }>();
const ajv = new AjvJsonSchemaValidator();

/** Does the answer have the form that the tool promises? @throws ProblemError upstream_broken */
export function assertPromised(
  server: string,
  tool: string,
  schema: object,
  result: { structuredContent?: unknown; isError?: unknown },
  log: (line: string) => void,
): void {
  if (result.isError === true) return;
  let why = "it has none";
  if (result.structuredContent !== undefined) {
    try {
      let validate = validators.get(schema);
      if (!validate) validators.set(schema, (validate = ajv.getValidator(schema)));
      const outcome = validate(result.structuredContent);
      if (outcome.valid) return;
      why = outcome.errorMessage ?? "it does not fit";
    } catch (error) {
      why = `the schema cannot be used: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  const message = `The structured content of "${plain(tool)}" of the server "${server}" is not what its output schema promises: ${plain(why)}.`;
  log(`mcp ${server}: ${message}`);
  throw new ProblemError({ kind: "upstream_broken", code: "schema_broken", message });
}
