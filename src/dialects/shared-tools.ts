import {
  FlatNames,
  type CustomToolSpec,
  type Diagnostic,
  type FunctionToolSpec,
  type JsonObject,
  type NativeToolSpec,
  type ToolCallItem,
  type ToolSpec,
} from "../canon/index.ts";

/**
 * How tools of a richer language travel in one that knows only flat functions, and how the calls come back.
 *
 * - A tool inside a namespace is offered as `namespace__name`, by the rule of `FlatNames`.
 * - A custom tool (free text input) is offered as a function with the one string property `input`.
 *
 * Nothing is parsed back out of a name: the way back looks the flat name up in the call's own tools, so a plain function that happens
 * to be called `a__b` stays what it is.
 */
export const CUSTOM_INPUT_PROPERTY = "input";

/** Longest grammar quoted in a description; beyond it the model is told only that there is one. */
const MAX_GRAMMAR_LETTERS = 8000;

/** What a tool was called in the call, behind its flat name. */
export interface ToolIdentity {
  readonly name: string;
  readonly namespace?: string;
  readonly kind: "function" | "custom";
}

export interface FlatTools {
  /** In the order of the call. Namespaces are spread out; a function that needed no change is the same object, `raw` included. */
  readonly tools: readonly (FunctionToolSpec | NativeToolSpec)[];
  readonly names: FlatNames;
}

/** Namespaces flattened, custom tools wrapped. Native tools pass through: whether they can be carried is for the language to say. */
export function flattenTools(tools: readonly ToolSpec[], note?: (diagnostic: Diagnostic) => void): FlatTools {
  const names = new FlatNames(tools);
  const flat: (FunctionToolSpec | NativeToolSpec)[] = [];
  for (const tool of tools) {
    if (tool.type === "native") flat.push(tool);
    else if (tool.type !== "namespace") flat.push(flatten(tool, tool.name, note));
    else {
      note?.({
        field: "tools[].namespace",
        action: "renamed",
        reason: `The language has no tool namespaces; the tools of "${tool.name}" are offered under flat names.`,
      });
      for (const inner of tool.tools) flat.push(flatten(inner, names.of(tool.name, inner.name), note));
    }
  }
  return { tools: flat, names };
}

/** A call by its flat name and JSON arguments, for a language that has only functions. */
export function flattenToolCall(item: ToolCallItem, flat: FlatTools): { readonly name: string; readonly input: string } {
  return { name: flat.names.of(item.namespace, item.name), input: item.kind === "custom" ? wrapCustomInput(item.input) : item.input };
}

/**
 * A tool call as the caller's own tools name it. A call that is not the flat form of a namespaced or custom tool comes back as the same
 * object. `tools` may be the call's list or, over many events, the result of `flattenTools` on it.
 */
export function unflattenToolCall(item: ToolCallItem, tools: readonly ToolSpec[] | FlatTools): ToolCallItem {
  const identity = identityOf(item, tools);
  if (!identity) return item;
  // `raw` shows the flat form, and so no longer tells what this item is.
  const { raw: _raw, ...rest } = item;
  return {
    ...rest,
    name: identity.name,
    kind: identity.kind,
    ...(identity.namespace !== undefined && { namespace: identity.namespace }),
    input: identity.kind === "custom" ? unwrapCustomInput(item.input) : item.input,
  };
}

/** Does `unflattenToolCall` change this call, and into which tool? Undefined when it stays as it is. */
export function identityOf(item: ToolCallItem, tools: readonly ToolSpec[] | FlatTools): ToolIdentity | undefined {
  if (item.kind !== "function" || item.namespace !== undefined) return undefined;
  if (isList(tools) && !tools.some((tool) => tool.type === "namespace" || tool.type === "custom")) return undefined;
  const found = (isList(tools) ? new FlatNames(tools) : tools.names).find(item.name);
  if (!found || (found.tool.type === "function" && found.namespace === undefined)) return undefined;
  return { name: found.tool.name, kind: found.tool.type, ...(found.namespace !== undefined && { namespace: found.namespace }) };
}

function isList(tools: readonly ToolSpec[] | FlatTools): tools is readonly ToolSpec[] {
  return Array.isArray(tools);
}

/** The arguments that carry free text. */
export function wrapCustomInput(text: string): string {
  return `{${JSON.stringify(CUSTOM_INPUT_PROPERTY)}:${JSON.stringify(text)}}`;
}

/** The free text inside wrapped arguments; what is not wrapped (the model wrote something else) is given as it stands. */
export function unwrapCustomInput(input: string): string {
  try {
    const value: unknown = JSON.parse(input);
    if (typeof value === "object" && value !== null && CUSTOM_INPUT_PROPERTY in value && typeof value[CUSTOM_INPUT_PROPERTY] === "string")
      return value[CUSTOM_INPUT_PROPERTY];
  } catch {
    // Not JSON: the model ignored the schema and wrote its text at once.
  }
  return input;
}

/**
 * Unwraps arguments that arrive in pieces: `push` returns the new free text that can already be told; `end` returns what is left. The sum
 * of the returned texts equals `unwrapCustomInput` of the whole for arguments that hold the one expected property.
 */
export class CustomInputReader {
  #whole = "";
  #told = 0;
  /** Where the undecoded rest begins; -1 before the string began, -2 once it ended. */
  #at = -1;

  push(piece: string): string {
    this.#whole += piece;
    if (this.#at === -1) {
      const opening = OPENING.exec(this.#whole);
      if (!opening) return "";
      this.#at = opening[0].length;
    }
    if (this.#at < 0) return "";
    const end = tellableEnd(this.#whole, this.#at);
    const text = decodeLiteral(this.#whole.slice(this.#at, end));
    this.#at = this.#whole[end] === '"' ? -2 : end;
    this.#told += text.length;
    return text;
  }

  end(): string {
    const text = unwrapCustomInput(this.#whole).slice(this.#told);
    this.#told += text.length;
    return text;
  }
}

const OPENING = new RegExp(`^\\s*\\{\\s*"${CUSTOM_INPUT_PROPERTY}"\\s*:\\s*"`);

/** How far a JSON string literal can be decoded: up to its closing quote, or before an escape that the end cuts in two. */
function tellableEnd(text: string, from: number): number {
  let end = from;
  while (end < text.length && text[end] !== '"') {
    if (text[end] !== "\\") {
      end++;
      continue;
    }
    const length = text[end + 1] === "u" ? 6 : 2;
    if (end + length > text.length) return end;
    end += length;
  }
  return end;
}

function decodeLiteral(literal: string): string {
  if (!literal.includes("\\")) return literal;
  try {
    return JSON.parse(`"${literal}"`) as string;
  } catch {
    return "";
  }
}

function flatten(
  tool: FunctionToolSpec | CustomToolSpec,
  name: string,
  note: ((diagnostic: Diagnostic) => void) | undefined,
): FunctionToolSpec {
  if (tool.type === "function") {
    if (name === tool.name) return tool;
    const { raw: _raw, ...rest } = tool;
    return { ...rest, name };
  }
  note?.({
    field: "tools[].custom",
    action: "degraded",
    reason: `The language has no free-text tools; "${tool.name}" is offered as a function with the string property "${CUSTOM_INPUT_PROPERTY}".`,
  });
  const description = describeCustom(tool);
  return {
    type: "function",
    name,
    ...(description !== "" && { description }),
    schema: CUSTOM_SCHEMA,
    ...(tool.origin && { origin: tool.origin }),
    ...(tool.cacheTtlSeconds !== undefined && { cacheTtlSeconds: tool.cacheTtlSeconds }),
  };
}

const CUSTOM_SCHEMA: JsonObject = {
  type: "object",
  properties: { [CUSTOM_INPUT_PROPERTY]: { type: "string", description: "The whole input of the tool, as free text." } },
  required: [CUSTOM_INPUT_PROPERTY],
  additionalProperties: false,
};

/** A grammar cannot be enforced on the other side; the model is told of it instead. */
function describeCustom(tool: CustomToolSpec): string {
  const format = tool.format;
  const about = tool.description ?? "";
  if (format?.["type"] !== "grammar" || typeof format["definition"] !== "string") return about;
  const syntax = typeof format["syntax"] === "string" ? `${format["syntax"]} ` : "";
  const grammar =
    format["definition"].length <= MAX_GRAMMAR_LETTERS ? `:\n${format["definition"]}` : ", which is too long to be quoted here.";
  return `${about}${about ? "\n\n" : ""}The input must match this ${syntax}grammar${grammar}`;
}
