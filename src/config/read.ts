import type { Alias, Json, Snapshot } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import { budgetsFrom, limitsFrom } from "../ledger/options.ts";
import { providerKinds } from "../providers/catalog.ts";
import { readAliases, SIM, type AliasReading } from "./aliases.ts";
import { ConfigDocument, type ConfigProblem } from "./document.ts";
import { describeIssues } from "./issues.ts";
import { networkNeeds } from "./offline.ts";
import { configSchema, type ConfigValues } from "./schema.ts";
import { writtenSecrets } from "./secrets.ts";
import { expand, type Environment, type Expansion, type Path } from "./variables.ts";

/** A configuration that was read, checked and expanded. It may hold secrets: never print it. */
export interface GimbalConfig {
  /** Enabled providers by name; the simulator is not among them. */
  readonly providers: ReadonlyMap<string, ConfigValues["providers"][string]>;
  /** Providers that an unset variable switched off, with the reason. */
  readonly disabled: ReadonlyMap<string, string>;
  readonly aliases: ReadonlyMap<string, Alias>;
  readonly sim: ConfigValues["sim"];
  readonly limits: ConfigValues["serve"]["limits"];
  readonly callerLimits: Snapshot["callerLimits"];
  readonly budgets: NonNullable<Snapshot["budgets"]>;
  readonly cache: ConfigValues["cache"];
  readonly files: ConfigValues["files"];
  readonly batches: ConfigValues["batches"];
  readonly pricing: ConfigValues["pricing"];
  readonly access: ConfigValues["access"];
  readonly identity: ConfigValues["identity"];
  readonly serve: Omit<ConfigValues["serve"], "limits">;
  readonly storage: ConfigValues["storage"];
  readonly audit: ConfigValues["audit"];
  readonly lineage: ConfigValues["lineage"];
  readonly content: ConfigValues["content"];
  readonly reports: ConfigValues["reports"];
  readonly telemetry: ConfigValues["telemetry"];
  readonly logs: ConfigValues["logs"];
  readonly health: ConfigValues["health"];
  readonly servers: ConfigValues["servers"];
  readonly retry: ConfigValues["retry"];
  readonly passthrough: ConfigValues["passthrough"];
  readonly mcp: ConfigValues["mcp"];
}

export type ConfigOutcome =
  | { readonly ok: true; readonly config: GimbalConfig; readonly warnings: readonly ConfigProblem[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Reads a whole `gimbal.yaml`. Never throws; `ok` is false with every problem found, each with line and column. */
export function readConfig(text: string, env: Environment): ConfigOutcome {
  const document = new ConfigDocument(text);
  if (document.problems.length > 0) return { ok: false, problems: document.problems };
  if (typeof document.value !== "object" || document.value === null || Array.isArray(document.value)) {
    return { ok: false, problems: [{ line: 1, column: 1, message: "The configuration is a mapping that begins with `version: 1`." }] };
  }
  const expansion = expand(document.value, env);
  const disabled = disabledProviders(expansion);
  const problems = strayVariables(expansion, document);
  const parsed = validate(usedProviders(expansion.value, disabled), expansion.expanded);
  if (!parsed.success) {
    // An unset variable leaves an empty text behind; that it is empty need not be said twice.
    const told = new Set(expansion.unset.map(({ path }) => path.join("\0")));
    const issues = parsed.error.issues.filter((issue) => !told.has(issue.path.map(String).join("\0")));
    return { ok: false, problems: [...problems, ...describeIssues(issues, document, configSchema)] };
  }
  const checked = checkMeaning(parsed.data, disabled, document);
  problems.push(...checked.problems);
  if (parsed.data.offline) problems.push(...offlineProblems(parsed.data, env, document));
  if (problems.length > 0) return { ok: false, problems };
  return {
    ok: true,
    config: assemble(parsed.data, disabled, checked.aliases),
    warnings: [...checked.warnings, ...writtenSecrets(document)],
  };
}

/** `file:line:column message`, one line each. */
export function formatProblems(fileName: string, problems: readonly ConfigProblem[]): string[] {
  return problems.map((problem) => `${fileName}:${problem.line}:${problem.column} ${problem.message}`);
}

/** An unset variable inside a provider switches that provider off. */
function disabledProviders(expansion: Expansion): Map<string, string> {
  const disabled = new Map<string, string>();
  for (const { path, name } of expansion.unset) {
    if (path[0] === "providers" && path.length > 2) disabled.set(String(path[1]), `\${${name}} is not set`);
  }
  return disabled;
}

function strayVariables(expansion: Expansion, document: ConfigDocument): ConfigProblem[] {
  return expansion.unset
    .filter(({ path }) => path[0] !== "providers" || path.length <= 2)
    .map(({ path, name }) =>
      document.problem(path, `${path.join(".")}: \${${name}} is not set; set it, or give a default: \${${name}:-value}.`),
    );
}

/** The document without the providers that are off. One with nothing behind its name, as in `lab:`, is one without options. */
function usedProviders(value: Json, disabled: ReadonlyMap<string, string>): Json {
  const root = value as { readonly [key: string]: Json | undefined };
  const providers = root["providers"];
  if (typeof providers !== "object" || providers === null || Array.isArray(providers)) return value;
  const used = Object.entries(providers).filter(([name]) => !disabled.has(name));
  return { ...root, providers: Object.fromEntries(used.map(([name, options]) => [name, options ?? {}])) };
}

/** Validates; where a variable's text stands in place of a number or a truth value, it is taken for one. */
function validate(value: Json, expanded: readonly Path[]): ReturnType<typeof configSchema.safeParse> {
  const first = configSchema.safeParse(value);
  if (first.success || expanded.length === 0) return first;
  const copy = structuredClone<Json>(value);
  for (const issue of first.error.issues) {
    if (issue.code !== "invalid_type" || (issue.expected !== "number" && issue.expected !== "int" && issue.expected !== "boolean"))
      continue;
    if (!expanded.some((path) => path.join("\0") === issue.path.map(String).join("\0"))) continue;
    replaceAt(copy, issue.path.map(String), (text) =>
      /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text === "true" ? true : text === "false" ? false : text,
    );
  }
  return configSchema.safeParse(copy);
}

function replaceAt(value: Json, path: readonly string[], change: (text: string) => Json): void {
  let at = value as Record<string, Json>;
  for (const segment of path.slice(0, -1)) at = at[segment] as Record<string, Json>;
  const last = path.at(-1) ?? "";
  const old = at[last];
  if (typeof old === "string") at[last] = change(old);
}

/** What is told to need no network must need none. */
function offlineProblems(values: ConfigValues, env: Environment, document: ConfigDocument): readonly ConfigProblem[] {
  return networkNeeds(values, env).map(({ path, why }) => ({
    ...document.problem(path, `offline: ${path.join(".")} ${why}; take it out, or take \`offline: true\` out.`),
    needsNetwork: true as const,
  }));
}

interface Meaning extends AliasReading {
  readonly problems: readonly ConfigProblem[];
}

/** What a schema cannot see: names that must fit each other. */
function checkMeaning(values: ConfigValues, disabled: ReadonlyMap<string, string>, document: ConfigDocument): Meaning {
  const problems: ConfigProblem[] = [];
  const warnings = [...disabled].map(([name, reason]) =>
    document.problem(["providers", name], `The provider ${name} is off: ${reason}.`, true),
  );
  for (const [name, options] of Object.entries(values.providers)) checkProvider(name, options, document, problems);
  for (const name of Object.keys(values.passthrough))
    if (!(name in values.providers) && !disabled.has(name))
      problems.push(
        document.problem(["passthrough", name], `passthrough.${name}: There is no provider "${name}" under \`providers:\`.`, true),
      );
  const read = readAliases(values, disabled, document);
  checkBudgets(values, disabled, document, problems);
  return { aliases: read.aliases, problems: [...problems, ...read.problems], warnings: [...warnings, ...read.warnings] };
}

/** A call that a budget sends to a model that is not there would be refused only when the budget is used up. */
function checkBudgets(
  values: ConfigValues,
  disabled: ReadonlyMap<string, string>,
  document: ConfigDocument,
  problems: ConfigProblem[],
): void {
  const providers = new Set([SIM, ...Object.keys(values.providers), ...disabled.keys()]);
  for (const [place, { downgradeTo }] of values.budgets.entries()) {
    if (downgradeTo === undefined || downgradeTo in values.models) continue;
    if (providers.has(downgradeTo.slice(0, Math.max(0, downgradeTo.indexOf("/"))))) continue;
    const like = nearest(downgradeTo, Object.keys(values.models));
    const hint = like ? ` Did you mean "${like}"?` : "";
    const message = `budgets.${place}.downgradeTo: There is no model "${downgradeTo}".${hint}`;
    problems.push(document.problem(["budgets", String(place), "downgradeTo"], message));
  }
}

function checkProvider(
  name: string,
  options: ConfigValues["providers"][string],
  document: ConfigDocument,
  problems: ConfigProblem[],
): void {
  if (name === SIM)
    problems.push(
      document.problem(["providers", name], `providers.${name}: The simulator is always there; configure it under \`sim:\`.`, true),
    );
  else if (name.includes("/"))
    problems.push(
      document.problem(
        ["providers", name],
        `providers.${name}: A provider's name has no slash; the first slash parts it from the model.`,
        true,
      ),
    );
  const kind = options.kind ?? name;
  if (name === SIM || providerKinds.includes(kind)) return;
  const like = nearest(kind, providerKinds);
  const hint = like ? ` Did you mean "${like}"?` : " Name one with `kind:`; docs/providers.md lists them.";
  problems.push(
    document.problem(
      ["providers", name, ...(options.kind === undefined ? [] : ["kind"])],
      `providers.${name}: There is no kind of provider "${kind}".${hint}`,
      options.kind === undefined,
    ),
  );
}

function assemble(values: ConfigValues, disabled: ReadonlyMap<string, string>, aliases: ReadonlyMap<string, Alias>): GimbalConfig {
  const { limits, ...serve } = values.serve;
  return {
    providers: new Map(Object.entries(values.providers)),
    disabled,
    aliases,
    sim: values.sim,
    limits,
    callerLimits: limitsFrom(values.limits),
    budgets: budgetsFrom(values.budgets),
    cache: values.cache,
    files: values.files,
    batches: values.batches,
    pricing: values.pricing,
    access: values.access,
    identity: values.identity,
    serve,
    storage: values.storage,
    audit: values.audit,
    lineage: values.lineage,
    content: values.content,
    reports: values.reports,
    telemetry: values.telemetry,
    logs: values.logs,
    health: values.health,
    servers: values.servers,
    retry: values.retry,
    passthrough: values.passthrough,
    mcp: values.mcp,
  };
}
