import { stringify } from "yaml";
import type { Json, JsonObject } from "../canon/index.ts";
import { formatProblems, readConfig } from "../config/index.ts";
import { CommandError } from "./command.ts";

/** A configuration in the making, from another gateway's, and what of that it cannot carry. */
export class Draft {
  readonly left: { readonly path: string; readonly reason: string }[] = [];
  readonly variables = new Set<string>();
  readonly models: Record<string, JsonObject> = {};
  readonly budgets: JsonObject[] = [];
  readonly #providers = new Map<string, JsonObject>();
  anonymous: "never" | undefined;

  leave(path: string, reason: string): void {
    this.left.push({ path, reason });
  }

  /** What stands for an environment variable in ours. */
  variable(name: string): string {
    const safe = name.replaceAll(/[^A-Za-z0-9_]+/g, "_").toUpperCase();
    const usable = /^[0-9]/.test(safe) ? `_${safe}` : safe;
    this.variables.add(usable);
    return `\${${usable}}`;
  }

  /** The name of a provider with these options: the kind's own, or with a number where others of the kind differ. */
  provider(kind: string, options: JsonObject): string {
    const wanted = JSON.stringify(options);
    for (let nth = 1; ; nth++) {
      const name = nth === 1 ? kind : `${kind}-${nth}`;
      const entry: JsonObject = nth === 1 ? options : { kind, ...options };
      const known = this.#providers.get(name);
      if (known === undefined) this.#providers.set(name, entry);
      if (known === undefined || JSON.stringify(nth === 1 ? known : { ...known, kind: undefined }) === wanted) return name;
    }
  }

  /** The whole text; valid as a configuration once its variables are set. @throws CommandError where it is not, which is our fault */
  text(from: string): string {
    const values = {
      version: 1,
      providers: Object.fromEntries(this.#providers),
      models: this.models,
      ...(this.budgets.length > 0 && { budgets: this.budgets }),
      ...(this.anonymous && { access: { anonymous: this.anonymous } }),
    };
    const left = this.left.map(({ path, reason }) => `# Not carried: ${path}: ${reason}`.replaceAll(/[\r\n]+/g, " "));
    const text = [`# From ${from}.`, ...left, stringify(values, { lineWidth: 0 })].join("\n");
    const env = Object.fromEntries([...this.variables].map((name) => [name, "set-for-the-check"]));
    const read = readConfig(text, env);
    if (!read.ok) throw new CommandError(`What came out is not valid:\n${formatProblems("gimbal.yaml", read.problems).join("\n")}`);
    return text;
  }
}

export function objectIn(value: Json | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}
export function listIn(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}
export function textIn(value: Json | undefined): string | undefined {
  return typeof value === "string" && value !== "" && !value.includes("${") ? value : undefined;
}
export function numberIn(value: Json | undefined, least: number, most: number): number | undefined {
  return typeof value === "number" && value >= least && value <= most ? value : undefined;
}

/** Members that nobody has looked at. */
export function leaveRest(
  draft: Draft,
  path: string,
  object: JsonObject,
  known: readonly string[],
  reasons: Readonly<Record<string, string>> = {},
): void {
  for (const name of Object.keys(object)) {
    if (!known.includes(name)) draft.leave(path === "" ? name : `${path}.${name}`, reasons[name] ?? "it has no counterpart here");
  }
}
