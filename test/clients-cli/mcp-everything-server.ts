// A server with everything that the official conformance tool asks for by name, for the gateway to stand before. Over standard input and
// output it speaks both revisions, and each of its questions goes the way of the revision that is spoken.
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  McpServer,
  ResourceTemplate,
  type InputRequests,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { randomBytes } from "node:crypto";
import { z } from "zod";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

/** An argument that clients repeat in the header `Mcp-Param-Region`; the schema's type does not know the keyword. */
const REPEATED = { type: "string", "x-mcp-header": "Region" } as const;

type State = { readonly round: number; readonly name?: string };
const states = createRequestStateCodec<State>({ key: randomBytes(32) });

type Answer = { content: ({ type: "text"; text: string } | { type: "image" | "audio"; data: string; mimeType: string } | Embedded)[] };
type Embedded = { type: "resource"; resource: { uri: string; mimeType: string; text: string } };

function text(words: string): Answer {
  return { content: [{ type: "text", text: words }] };
}

function embedded(uri: string, mimeType: string, words: string): Embedded {
  return { type: "resource", resource: { uri, mimeType, text: words } };
}

/** A question for whoever sits at the client, with one answer. */
function question(message: string, name: string, type: "string" | "boolean" = "string") {
  const property = type === "string" ? { type } : { type };
  return inputRequired.elicit({ message, requestedSchema: { type: "object", properties: { [name]: property }, required: [name] } });
}

const sampling = (words: string) =>
  inputRequired.createMessage({ messages: [{ role: "user", content: { type: "text", text: words } }], maxTokens: 50 });

function contentTools(server: McpServer): void {
  server.registerTool("test_simple_text", { description: "Text." }, () => text("Plain text."));
  server.registerTool("test_image_content", { description: "A picture." }, () => ({
    content: [{ type: "image", data: PIXEL, mimeType: "image/png" }],
  }));
  server.registerTool("test_audio_content", { description: "A sound." }, () => ({
    content: [{ type: "audio", data: SOUND, mimeType: "audio/wav" }],
  }));
  server.registerTool("test_embedded_resource", { description: "A resource." }, () => ({
    content: [embedded("test://embedded-resource", "text/plain", "Within the answer.")],
  }));
  server.registerTool("test_multiple_content_types", { description: "Some of each." }, () => ({
    content: [
      { type: "text", text: "Three parts." },
      { type: "image", data: PIXEL, mimeType: "image/png" },
      embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
  }));
  server.registerTool("test_error_handling", { description: "Fails." }, () => {
    throw new Error("This tool fails on purpose.");
  });
  server.registerTool("test_streaming_elicitation", { description: "Asks nothing." }, () => text("Nothing was asked."));
  server.registerTool(
    "test_x_mcp_header",
    {
      description: "An argument that is repeated in a header.",
      inputSchema: fromJsonSchema<{ region?: string }>({
        type: "object",
        properties: { region: REPEATED, level: { type: "integer" } },
      }),
    },
    ({ region = "" }) => text(`region: ${region}`),
  );
  server.registerTool(
    "json_schema_2020_12_tool",
    { description: "A schema with much in it.", inputSchema: fromJsonSchema(wideSchema()) },
    (given) => text(JSON.stringify(given)),
  );
}

/** Keywords of JSON Schema 2020-12 that must come through as they are. */
function wideSchema(): Parameters<typeof fromJsonSchema>[0] {
  const address = { $anchor: "addressDef", type: "object", properties: { street: { type: "string" }, city: { type: "string" } } };
  const contact = { contactMethod: { type: "string", enum: ["phone", "email"] }, phone: { type: "string" }, email: { type: "string" } };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    $defs: { address },
    properties: { name: { type: "string" }, address: { $ref: "#/$defs/address" }, ...contact },
    allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
    if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
    else: { required: ["email"] },
    additionalProperties: false,
    // As text: an object with a member of this name looks like a promise.
    ...(JSON.parse('{"then":{"required":["phone"]}}') as object),
  };
}

function tellingTools(server: McpServer): void {
  const log = (context: ServerContext, words: string) => context.mcpReq.log("info", words);
  server.registerTool("test_logging_tool", { description: "Logs where it is asked to." }, async (context) => {
    await log(context, "It ran.");
    return text("Logged.");
  });
  server.registerTool("test_tool_with_logging", { description: "Logs three times." }, async (context) => {
    for (const words of ["It begins.", "It goes on.", "It ends."]) await log(context, words);
    return text("Logged.");
  });
  server.registerTool("test_tool_with_progress", { description: "Reports how far it is." }, async ({ mcpReq }) => {
    const { _meta: meta } = mcpReq;
    const progressToken = meta?.progressToken;
    for (const progress of progressToken === undefined ? [] : [0, 50, 100])
      await mcpReq.notify({ method: "notifications/progress", params: { progressToken: progressToken ?? "", progress, total: 100 } });
    return text(String(progressToken));
  });
  for (const kind of ["tool", "prompt"] as const)
    server.registerTool(`test_trigger_${kind}_change`, { description: `The ${kind}s are said to have changed.` }, async () => {
      await (kind === "tool" ? server.server.sendToolListChanged() : server.server.sendPromptListChanged());
      return text("Told.");
    });
}

/** Questions as the older revision has them: one request each, while the call runs. */
function askingTools(server: McpServer): void {
  const elicit = async ({ mcpReq }: ServerContext, message: string, properties: object, required: string[]): Promise<Answer> => {
    const params = { message, requestedSchema: { type: "object" as const, properties: properties as never, required } };
    const { action, content } = (await mcpReq.send({ method: "elicitation/create", params })) as { action: string; content?: object };
    return text(`action=${action}, content=${JSON.stringify(content ?? {})}`);
  };
  server.registerTool(
    "test_sampling",
    { description: "Asks the model.", inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, { mcpReq }) => {
      const messages = [{ role: "user" as const, content: { type: "text" as const, text: prompt } }];
      const { content } = (await mcpReq.send({ method: "sampling/createMessage", params: { messages, maxTokens: 100 } })) as {
        content: { text?: string };
      };
      return text(`The model said: ${content.text ?? ""}`);
    },
  );
  server.registerTool(
    "test_elicitation",
    { description: "Asks the person.", inputSchema: z.object({ message: z.string() }) },
    ({ message }, context) => elicit(context, message, { response: { type: "string" } }, ["response"]),
  );
  server.registerTool("test_elicitation_sep1034_defaults", { description: "Defaults of every kind." }, (context) =>
    elicit(
      context,
      "Are these right?",
      {
        name: { type: "string", default: "John Doe" },
        age: { type: "integer", default: 30 },
        score: { type: "number", default: 95.5 },
        status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
        verified: { type: "boolean", default: true },
      },
      [],
    ),
  );
  server.registerTool("test_elicitation_sep1330_enums", { description: "Choices of every kind." }, (context) =>
    elicit(context, "Which?", choices(), []),
  );
}

function choices(): object {
  const titled = (words: readonly string[]): object[] => words.map((title, index) => ({ const: `value${index + 1}`, title }));
  const options = ["option1", "option2", "option3"];
  return {
    untitledSingle: { type: "string", enum: options },
    titledSingle: { type: "string", oneOf: titled(["First Option", "Second Option", "Third Option"]) },
    legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] },
    untitledMulti: { type: "array", minItems: 1, maxItems: 3, items: { type: "string", enum: options } },
    titledMulti: { type: "array", minItems: 1, maxItems: 3, items: { anyOf: titled(["First Choice", "Second Choice", "Third Choice"]) } },
  };
}

/** Questions as the newer revision has them: an answer that says what is missing. */
function roundTools(server: McpServer): void {
  const tool = (name: string, run: (context: ServerContext) => unknown): void =>
    void server.registerTool(
      name,
      { description: "Asks before it answers.", inputSchema: z.object({}) },
      (_given, context) => run(context) as never,
    );
  const accepted = ({ mcpReq }: ServerContext, key: string, member: string): unknown =>
    acceptedContent(mcpReq.inputResponses, key)?.[member];
  const answered = ({ mcpReq }: ServerContext, key: string): Readonly<Record<string, unknown>> | undefined =>
    mcpReq.inputResponses?.[key] as Readonly<Record<string, unknown>> | undefined;
  const who = question("Who are you?", "name");

  tool("test_input_required_result_elicitation", (context) => {
    const name = accepted(context, "user_name", "name");
    return typeof name === "string" ? text(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: who } });
  });
  for (const name of ["test_input_required_result_sampling", "test_missing_capability"])
    tool(name, (context) => {
      const said = answered(context, "capital_question");
      return said ? text(JSON.stringify(said)) : inputRequired({ inputRequests: { capital_question: sampling("Capital of France?") } });
    });
  tool("test_input_required_result_list_roots", (context) => {
    const said = answered(context, "client_roots");
    return said ? text(JSON.stringify(said["roots"])) : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });
  for (const name of ["test_input_required_result_request_state", "test_input_required_result_tampered_state"])
    tool(name, async (context) => {
      const isConfirmed = accepted(context, "confirm", "ok") !== undefined && context.mcpReq.requestState() !== undefined;
      if (isConfirmed) return text("state-ok: it came back as it was.");
      return inputRequired({
        inputRequests: { confirm: question("Right?", "ok", "boolean") },
        requestState: await states.mint({ round: 1 }),
      });
    });
  tool("test_input_required_result_multiple_inputs", async (context) => {
    const name = accepted(context, "user_name", "name");
    const [greeting, roots] = [answered(context, "greeting"), answered(context, "client_roots")];
    if (typeof name === "string" && greeting && roots) return text(`${JSON.stringify(greeting)} ${name} ${JSON.stringify(roots)}`);
    const inputRequests = { user_name: who, greeting: sampling("Greet."), client_roots: inputRequired.listRoots() };
    return inputRequired({ inputRequests, requestState: await states.mint({ round: 1 }) });
  });
  tool("test_input_required_result_multi_round", async (context) => {
    const { round, name = "" } = context.mcpReq.requestState<State>() ?? { round: 0 };
    if (round === 0) return inputRequired({ inputRequests: { step1: who }, requestState: await states.mint({ round: 1 }) });
    if (round > 1) return text(`${name} likes ${String(accepted(context, "step2", "color"))}.`);
    const requestState = await states.mint({ round: 2, name: String(accepted(context, "step1", "name")) });
    return inputRequired({ inputRequests: { step2: question("Which colour?", "color") }, requestState });
  });
  tool("test_input_required_result_capabilities", (context) => {
    if (context.mcpReq.inputResponses) return text("Answered.");
    const declared = (context.mcpReq.envelope as Record<string, unknown> | undefined)?.[CLIENT_CAPABILITIES_META_KEY] as
      | Readonly<Record<string, unknown>>
      | undefined;
    const inputRequests: InputRequests = {
      ...(declared?.["elicitation"] !== undefined && { user_name: who }),
      ...(declared?.["sampling"] !== undefined && { greeting: sampling("Greet.") }),
      ...(declared?.["roots"] !== undefined && { client_roots: inputRequired.listRoots() }),
    };
    return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : text("Nobody can be asked.");
  });
}

function resources(server: McpServer): void {
  const plain = (name: string, mimeType: string, content: { text: string } | { blob: string }): void =>
    void server.registerResource(name, `test://${name}`, { mimeType }, ({ href: uri }) => ({ contents: [{ uri, mimeType, ...content }] }));
  plain("static-text", "text/plain", { text: "It never changes." });
  plain("static-binary", "image/png", { blob: PIXEL });
  plain("watched-resource", "text/plain", { text: "Somebody looks." });
  server.registerResource(
    "template",
    new ResourceTemplate("test://template/{id}/data", { list: undefined }),
    {},
    ({ href: uri }, { id }) => ({
      contents: [
        { uri, mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }) },
      ],
    }),
  );
  for (const method of ["resources/subscribe", "resources/unsubscribe"] as const) server.server.setRequestHandler(method, () => ({}));
  server.server.setRequestHandler("completion/complete", () => ({ completion: { values: [], total: 0, hasMore: false } }));
}

function prompts(server: McpServer): void {
  const user = (content: unknown): { role: "user"; content: never } => ({ role: "user", content: content as never });
  server.registerPrompt("test_simple_prompt", { description: "Text." }, () => ({ messages: [user({ type: "text", text: "A prompt." })] }));
  server.registerPrompt(
    "test_prompt_with_arguments",
    { description: "Two words.", argsSchema: z.object({ arg1: z.string(), arg2: z.string() }) },
    (given) => ({
      messages: [user({ type: "text", text: `arg1='${given.arg1}', arg2='${given.arg2}'` })],
    }),
  );
  server.registerPrompt(
    "test_prompt_with_embedded_resource",
    { description: "A resource.", argsSchema: z.object({ resourceUri: z.string() }) },
    (given) => ({
      messages: [user(embedded(given.resourceUri, "text/plain", "Within the prompt."))],
    }),
  );
  server.registerPrompt("test_prompt_with_image", { description: "A picture." }, () => ({
    messages: [user({ type: "image", data: PIXEL, mimeType: "image/png" })],
  }));
  server.registerPrompt("test_input_required_result_prompt", { description: "Asks first." }, (context: unknown) => {
    const { mcpReq } = context as ServerContext;
    const said = acceptedContent<{ context: string }>(mcpReq.inputResponses, "user_context");
    if (!said) return inputRequired({ inputRequests: { user_context: question("In which context?", "context") } });
    return { messages: [user({ type: "text", text: `In the context ${said.context}.` })] };
  });
}

serveStdio(() => {
  const changing = { listChanged: true };
  const capabilities = { tools: changing, prompts: changing, resources: { ...changing, subscribe: true }, logging: {}, completions: {} };
  const server = new McpServer(
    { name: "everything", version: "1.0.0" },
    { capabilities, requestState: { verify: (state, context) => states.verify(state, context) } },
  );
  for (const part of [contentTools, tellingTools, askingTools, roundTools, resources, prompts]) part(server);
  return server;
});
