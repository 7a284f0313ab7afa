import type { CustomToolSpec, FunctionToolSpec, ToolSpec } from "./call.ts";

/** A function or custom tool under the one name by which a language without namespaces knows it. */
export interface FlatTool {
  readonly flatName: string;
  readonly namespace?: string;
  readonly tool: FunctionToolSpec | CustomToolSpec;
}

/** The longest tool name that every language takes. */
const NAME_CHARACTERS = 64;
const HASH_CHARACTERS = 8;

/**
 * Flat names for languages that have no namespaces, reversible by whoever has the same list of tools.
 *
 * The rule: a tool outside a namespace keeps its name. A tool inside one is called `namespace__name`, with every character other than
 * letters, digits, `_` and `-` replaced by `_`. A result longer than 64 characters keeps its first 55, then `_` and 8 hexadecimal
 * digits of a hash of the whole. A name already taken gets `_2`, `_3`, ... Both directions are decided by the call's own list of
 * tools, so the same list always gives the same names.
 */
export class FlatNames {
  /** Every function and custom tool, in the order of the list. */
  readonly tools: readonly FlatTool[];
  readonly #byFlatName = new Map<string, FlatTool>();
  readonly #byPath = new Map<string, string>();

  constructor(tools: readonly ToolSpec[]) {
    const flat: FlatTool[] = [];
    // Names outside namespaces are fixed, so they are taken first.
    for (const tool of tools) if (tool.type === "function" || tool.type === "custom") this.#add({ flatName: tool.name, tool });
    for (const tool of tools) {
      if (tool.type === "function" || tool.type === "custom") flat.push({ flatName: tool.name, tool });
      if (tool.type !== "namespace") continue;
      for (const inner of tool.tools) {
        const entry = { flatName: this.#free(join(tool.name, inner.name)), namespace: tool.name, tool: inner };
        this.#add(entry);
        this.#byPath.set(pathOf(tool.name, inner.name), entry.flatName);
        flat.push(entry);
      }
    }
    this.tools = flat;
  }

  /** The flat name of a tool, also of one that is no longer in the list (an old turn's call). */
  of(namespace: string | undefined, name: string): string {
    if (namespace === undefined) return name;
    return this.#byPath.get(pathOf(namespace, name)) ?? join(namespace, name);
  }

  /** The tool behind a flat name; undefined when the list has none. */
  find(flatName: string): FlatTool | undefined {
    return this.#byFlatName.get(flatName);
  }

  #add(entry: FlatTool): void {
    if (!this.#byFlatName.has(entry.flatName)) this.#byFlatName.set(entry.flatName, entry);
  }

  #free(wanted: string): string {
    let name = wanted;
    for (let count = 2; this.#byFlatName.has(name); count++) name = `${wanted.slice(0, NAME_CHARACTERS - 4)}_${count}`;
    return name;
  }
}

function pathOf(namespace: string, name: string): string {
  return `${namespace}\u0000${name}`;
}

function join(namespace: string, name: string): string {
  const whole = `${namespace}__${name}`.replaceAll(/[^A-Za-z0-9_-]/g, "_");
  if (whole.length <= NAME_CHARACTERS) return whole;
  return `${whole.slice(0, NAME_CHARACTERS - HASH_CHARACTERS - 1)}_${hash(`${namespace}__${name}`)}`;
}

/** FNV-1a, 32 bits, as hexadecimal digits: enough to tell a call's own tools apart. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return (value >>> 0).toString(16).padStart(HASH_CHARACTERS, "0");
}
