import type { Prompt, Resource, ResourceTemplateType, Tool } from "@modelcontextprotocol/client";
import { mayUseTool, type Caller } from "../canon/index.ts";
import { isOffered, isToolName, plain, prefixOf } from "./names.ts";
import { FIRST_USE, hashOfTool, type Pins } from "./pins.ts";
import type { Upstream } from "./upstream.ts";

/** Characters of one tool's definition as JSON. */
const TOOL_CHARACTERS = 256 * 1024;

/** One thing as callers see it. `name`: under which it is offered; keys' scopes speak of it. */
export interface Offer<T> {
  readonly name: string;
  readonly upstream: Upstream;
  readonly value: T;
}

/** Why a tool that a server has is not offered. */
export type Withheld = "new" | "changed" | "collision" | "name" | "size" | "denied";

export interface ToolReport {
  readonly server: string;
  readonly tool: string;
  readonly name: string;
  readonly hash: string;
  /** Undefined: it is offered. */
  readonly withheld?: Withheld;
}

export interface Offers {
  readonly tools: ReadonlyMap<string, Offer<Tool>>;
  readonly prompts: ReadonlyMap<string, Offer<Prompt>>;
  /** By their addresses, which are the servers' own. */
  readonly resources: ReadonlyMap<string, Offer<Resource>>;
  readonly templates: readonly Offer<ResourceTemplateType>[];
  readonly reports: readonly ToolReport[];
}

export const NO_OFFERS: Offers = { tools: new Map(), prompts: new Map(), resources: new Map(), templates: [], reports: [] };

/** Everything that the servers offer together: of two things with one name the first server's counts, in the order of the configuration. */
export function offersOf(upstreams: readonly Upstream[], pins: Pick<Pins, "find">): Offers {
  const tools = new Map<string, Offer<Tool>>();
  const prompts = new Map<string, Offer<Prompt>>();
  const resources = new Map<string, Offer<Resource>>();
  const templates: Offer<ResourceTemplateType>[] = [];
  const reports: ToolReport[] = [];
  for (const upstream of upstreams) {
    const { name: server, options, catalogue } = upstream;
    const prefix = prefixOf(server, options);
    for (const tool of catalogue.tools) {
      const name = prefix + tool.name;
      const hash = hashOfTool(tool);
      const withheld = whyWithheld(upstream, tool, name, hash, pins) ?? (tools.has(name) ? "collision" : undefined);
      reports.push({ server, tool: tool.name, name, hash, ...(withheld && { withheld }) });
      if (!withheld) tools.set(name, { name, upstream, value: tool });
    }
    for (const prompt of catalogue.prompts) {
      const name = prefix + prompt.name;
      if (isOffered(options, prompt.name) && !prompts.has(name)) prompts.set(name, { name, upstream, value: prompt });
    }
    for (const resource of catalogue.resources)
      if (isOffered(options, resource.name) && !resources.has(resource.uri))
        resources.set(resource.uri, { name: prefix + resource.name, upstream, value: resource });
    for (const template of catalogue.templates)
      if (isOffered(options, template.name)) templates.push({ name: prefix + template.name, upstream, value: template });
  }
  return { tools, prompts, resources, templates, reports };
}

function whyWithheld(
  { name: server, options }: Upstream,
  tool: Tool,
  name: string,
  hash: string,
  pins: Pick<Pins, "find">,
): Withheld | undefined {
  if (!isOffered(options, tool.name)) return "denied";
  if (!isToolName(name)) return "name";
  if (JSON.stringify(tool).length > TOOL_CHARACTERS) return "size";
  const pin = pins.find(server, tool.name);
  if (!pin) return "new";
  return pin.hash === hash ? undefined : "changed";
}

/** May this caller see and use it? Each server that it comes from has a tier, too. */
export function mayUse({ scopes }: Caller, { name, upstream }: Pick<Offer<unknown>, "name" | "upstream">): boolean {
  return mayUseTool(scopes, name) && (scopes.tier === undefined || scopes.tier >= upstream.options.tier);
}

/** Tools that were never seen before, of servers whose first words are trusted. */
export function* firstUses(reports: readonly ToolReport[], upstreams: ReadonlyMap<string, Upstream>): Generator<ToolReport> {
  for (const report of reports) if (report.withheld === "new" && upstreams.get(report.server)?.options.pin === FIRST_USE) yield report;
}

/** A line for the operator; undefined where there is nothing to do. */
export function reportLine({ server, tool, withheld }: ToolReport): string | undefined {
  const which = `mcp ${server}: the tool "${plain(tool)}" is withheld`;
  switch (withheld) {
    case "new":
      return `${which} until it is approved: gimbal mcp approve ${server} ${plain(tool)}`;
    case "changed":
      return `${which}: it is not what was approved any more. If that is right: gimbal mcp approve ${server} ${plain(tool)}`;
    case "collision":
      return `${which}: another server offers one of that name; give one of them another \`prefix\``;
    case "name":
      return `${which}: with its prefix its name is no name of a tool (1 to 128 letters, digits, "_", "-" and ".")`;
    case "size":
      return `${which}: its definition is longer than ${TOOL_CHARACTERS} characters`;
    case "denied":
    case undefined:
      return undefined;
  }
}
