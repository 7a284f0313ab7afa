import { fromJsonSchema, McpServer, ResourceTemplate } from "@modelcontextprotocol/server";
import { z } from "zod";

/** A real server of the official SDK, with tools that behave and tools that do not. */
export function demoServer(): McpServer {
  const server = new McpServer({ name: "demo", version: "1.0.0" }, { capabilities: { logging: {}, resources: { subscribe: true } } });
  server.registerTool("echo", { description: "Says it again.", inputSchema: z.object({ text: z.string() }) }, ({ text }) => ({
    content: [{ type: "text", text }],
  }));
  server.registerTool(
    "add",
    { inputSchema: z.object({ a: z.number(), b: z.number() }), outputSchema: z.object({ sum: z.number() }) },
    ({ a, b }) => ({ content: [{ type: "text", text: String(a + b) }], structuredContent: { sum: a + b } }),
  );
  server.registerTool("fail", {}, () => ({ content: [{ type: "text", text: "no" }], isError: true }));
  server.registerTool("huge", { inputSchema: z.object({ bytes: z.number() }) }, ({ bytes }) => ({
    content: [{ type: "text", text: "x".repeat(bytes) }],
  }));
  server.registerTool("environment", {}, () => ({ content: [{ type: "text", text: JSON.stringify(process.env) }] }));
  server.registerTool("die", {}, () => process.exit(3));
  server.registerTool("wait", {}, async (context) => {
    const { _meta: meta } = context.mcpReq;
    const token = meta?.progressToken;
    if (token !== undefined)
      await context.mcpReq.notify({ method: "notifications/progress", params: { progressToken: token, progress: 1, total: 2 } });
    await new Promise((resolve) => context.mcpReq.signal.addEventListener("abort", resolve, { once: true }));
    return { content: [] };
  });
  server.registerTool("ask", {}, async (context) => {
    const answer = await context.mcpReq.send({
      method: "elicitation/create",
      params: { message: "Who?", requestedSchema: { type: "object", properties: { name: { type: "string" } } } },
    });
    return { content: [{ type: "text", text: JSON.stringify(answer) }] };
  });
  server.registerPrompt("greet", { argsSchema: z.object({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: "user", content: { type: "text", text: `Greet ${name}.` } }],
  }));
  server.registerResource("note", "demo://note", { mimeType: "text/plain" }, (uri) => ({ contents: [{ uri: uri.href, text: "a note" }] }));
  server.registerResource("page", new ResourceTemplate("demo://page/{number}", { list: undefined }), {}, (uri, { number }) => ({
    contents: [{ uri: uri.href, text: `page ${String(number)}` }],
  }));
  return server;
}

/** A tool whose answer is not what its schema promises; the official server would find out itself, so it is told another schema. */
export function lyingServer(): McpServer {
  const server = new McpServer({ name: "liar", version: "1.0.0" });
  const schema = { type: "object" as const, properties: { sum: { type: "number" } }, required: ["sum"] };
  const lenient = { getValidator: () => (input: unknown) => ({ valid: true as const, data: input as never, errorMessage: undefined }) };
  server.registerTool("lie", { outputSchema: fromJsonSchema(schema, lenient) }, () => ({
    content: [],
    structuredContent: { sum: "three" },
  }));
  return server;
}
