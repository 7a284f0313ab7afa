// A stdio server written by hand, because the official one would not misbehave. The first argument says how.
const [, , how = ""] = process.argv;
const PROTOCOL = "2025-11-25";

function say(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
}

const tool = { name: "act", description: "Acts.", inputSchema: { type: "object" } };
const listed: Readonly<Record<string, object>> = {
  "tools/list": { tools: [tool] },
  "resources/list": { resources: [{ uri: "hostile://one", name: "one" }] },
  "resources/templates/list": { resourceTemplates: [] },
  "resources/subscribe": {},
  ping: {},
};

/** What it does when its tool is called. */
const acts: Readonly<Record<string, (id: unknown) => void>> = {
  junk: (id) => {
    process.stdout.write("no message\n{\n[]\n\u0000\u001b[31m\n".repeat(2000));
    say({ method: "made/up", params: {} });
    say({ id: 987_654, result: {} });
    answer(id);
  },
  endless: () => {
    const more = (): void => {
      while (process.stdout.write("x".repeat(65_536)));
      process.stdout.once("drain", more);
    };
    more();
  },
  die: () => process.exit(1),
  flood: (id) => {
    for (let turn = 0; turn < 10_000; turn++) {
      say({ method: "notifications/tools/list_changed" });
      say({ method: "notifications/resources/updated", params: { uri: "hostile://one" } });
      say({ method: "notifications/resources/updated", params: { uri: `hostile://made-up-${turn}` } });
      say({ method: "notifications/message", params: { level: "error", data: "x".repeat(100) } });
    }
    process.stderr.write("a line\n".repeat(10_000));
    answer(id);
  },
  asks: (id) => {
    for (let turn = 0; turn < 1000; turn++) say({ id: `mine-${turn}`, method: "sampling/createMessage", params: { messages: [] } });
    answer(id);
  },
  wrong: (id) => say({ id, result: { content: "not a list", structuredContent: 3 } }),
  silent: () => {},
};

function answer(id: unknown): void {
  say({ id, result: { content: [{ type: "text", text: "acted" }] } });
}

let line = "";
process.stdin.setEncoding("utf8").on("data", (text: string) => {
  const lines = (line + text).split("\n");
  line = lines.pop() ?? "";
  if (how === "hang") return;
  for (const one of lines) {
    const { id, method } = JSON.parse(one) as { id?: unknown; method?: string };
    if (method === undefined || id === undefined) continue;
    const capabilities = { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true } };
    if (method === "initialize") say({ id, result: { protocolVersion: PROTOCOL, capabilities, serverInfo: { name: how, version: "1" } } });
    else if (method === "tools/call") acts[how]?.(id);
    else if (listed[method]) say({ id, result: listed[method] });
    else say({ id, error: { code: -32_601, message: "Method not found" } });
  }
});
process.stdin.on("end", () => process.exit(0));
