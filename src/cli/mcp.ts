import { DONE, table, type Command } from "./command.ts";
import { askRunning } from "./models-change.ts";
import { DATA_FLAG } from "./settings.ts";

interface ToolLine {
  readonly tool: string;
  readonly name: string;
  readonly hash: string;
  readonly withheld?: string;
}
interface ServerLine {
  readonly server: string;
  readonly state: string;
  readonly why?: string;
  readonly revision?: string;
  readonly tools: readonly ToolLine[];
  readonly prompts: number;
  readonly resources: number;
}
interface Definition extends ToolLine {
  readonly definition: unknown;
}

/** What a server says may hold what steers a terminal. */
function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

const list: Command = {
  name: "mcp list",
  summary: "List the upstream MCP servers, their state and their tools.",
  operands: [],
  flags: DATA_FLAG,
  async run(input, deps) {
    const { servers } = await askRunning<{ servers: readonly ServerLine[] }>(input, deps, "GET", "/mcp");
    if (input.json) deps.out(`${JSON.stringify({ servers })}\n`);
    else if (servers.length === 0) deps.out("No MCP server is configured (`mcp.servers`).\n");
    else {
      const states = servers.map((one) => [one.server, one.why === undefined ? one.state : `${one.state}: ${one.why}`, one.revision ?? ""]);
      deps.out(`${table(["SERVER", "STATE", "REVISION"], states)}\n`);
      const tools = servers.flatMap(({ server, tools: all }) =>
        all.map((tool) => [server, shown(tool.tool), shown(tool.name), tool.withheld ?? "offered", tool.hash.slice(0, 12)]),
      );
      if (tools.length > 0) deps.out(`\n${table(["SERVER", "TOOL", "OFFERED AS", "STATE", "HASH"], tools)}\n`);
    }
    return DONE;
  },
};

const approve: Command = {
  name: "mcp approve",
  summary: "Show what a tool says of itself, and let it be used as it is.",
  operands: ["SERVER", "TOOL"],
  flags: { show: { meaning: "Only show it." }, ...DATA_FLAG },
  async run(input, deps) {
    const [server = "", tool = ""] = input.operands;
    const path = `/mcp/${encodeURIComponent(server)}/tools/${encodeURIComponent(tool)}`;
    const found = await askRunning<Definition>(input, deps, "GET", path);
    if (!input.json) deps.err(`${JSON.stringify(found.definition, undefined, 2).split("\n").map(shown).join("\n")}\n`);
    if (input.has("show")) {
      if (input.json) deps.out(`${JSON.stringify(found)}\n`);
      return DONE;
    }
    // By the hash of what was shown: a tool that changes meanwhile is not approved with it.
    const made = await askRunning<ToolLine>(input, deps, "POST", "/mcp/pins", { server, tool, hash: found.hash });
    if (input.json) deps.out(`${JSON.stringify(made)}\n`);
    else
      deps.err(
        `Approved: ${shown(made.name)} (${made.hash.slice(0, 12)})${made.withheld === undefined ? "" : `, but withheld: ${made.withheld}`}.\n`,
      );
    return DONE;
  },
};

const test: Command = {
  name: "mcp test",
  summary: "Ask an upstream MCP server whether it is there.",
  operands: ["SERVER"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const [server = ""] = input.operands;
    const answer = await askRunning<ServerLine & { readonly answeredMs: number }>(
      input,
      deps,
      "POST",
      `/mcp/${encodeURIComponent(server)}/test`,
    );
    if (input.json) deps.out(`${JSON.stringify(answer)}\n`);
    else {
      const { revision = "an unknown revision", tools, answeredMs } = answer;
      const offered = tools.filter(({ withheld }) => withheld === undefined).length;
      deps.out(`${server} answered in ${answeredMs} ms by ${revision}; ${offered} of its ${tools.length} tools are offered.\n`);
    }
    return DONE;
  },
};

const login: Command = {
  name: "mcp login",
  summary: "Sign in at the authorization server of an upstream MCP server, in a browser.",
  operands: ["SERVER"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const [server = ""] = input.operands;
    const begun = await askRunning<{ readonly url: string }>(input, deps, "POST", `/mcp/${encodeURIComponent(server)}/login`);
    if (input.json) deps.out(`${JSON.stringify(begun)}\n`);
    else {
      deps.err("Open this page within ten minutes and sign in; the gateway does the rest.\n");
      deps.out(`${shown(begun.url)}\n`);
    }
    return DONE;
  },
};

const unpin: Command = {
  name: "mcp revoke",
  summary: "Withhold a tool that was approved.",
  operands: ["SERVER", "TOOL"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const [server = "", tool = ""] = input.operands;
    const query = new URLSearchParams({ server, tool });
    const done = await askRunning<object>(input, deps, "DELETE", `/mcp/pins?${query.toString()}`);
    if (input.json) deps.out(`${JSON.stringify(done)}\n`);
    else deps.err(`Withheld: ${shown(tool)} of ${server}.\n`);
    return DONE;
  },
};

export const MCP_COMMANDS: readonly Command[] = [list, approve, unpin, test, login];
