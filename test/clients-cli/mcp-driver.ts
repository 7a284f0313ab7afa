import { Client, StreamableHTTPClientTransport, type Tool } from "@modelcontextprotocol/client";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Slots } from "../../src/tools/slots.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** What the conformance tool says of one of its scenarios for clients. */
interface Told {
  /** The server to be a client of. */
  readonly url: string;
  readonly scenario: string;
  readonly context: Context;
  readonly revision?: string;
}

interface Context {
  readonly client_id?: string;
  readonly client_secret?: string;
  readonly private_key_pem?: string;
  readonly signing_algorithm?: string;
  readonly toolCalls?: readonly { readonly name: string; readonly arguments: Record<string, unknown> }[];
}

/** Their servers know nothing of discovery, which every server of the revision has to answer: it is answered in front of them. */
const WITHOUT_DISCOVERY = ["http-", "sep-2322-"];
/** Where the tool's authorization servers look for the client's metadata. */
const METADATA_URL = "https://conformance-test.local/client-metadata.json";
const MOST_SIGN_INS = 3;
/** The tool runs all scenarios of a set at once; gateways are started so many at a time. */
const AT_ONCE = 3;

export interface Driver {
  readonly url: string;
  close(): Promise<void>;
}

/** Drives a gateway of its own through each scenario: the server under it is the tool's, and an official client speaks to its `/mcp`. */
export async function startDriver(): Promise<Driver> {
  const places = new Slots(AT_ONCE);
  const server = createServer((request, response) => {
    void (async () => {
      const told = await bodyOf(request);
      const leave = await places.take(new AbortController().signal);
      try {
        await drive(JSON.parse(told) as Told);
        response.writeHead(200).end();
      } catch (error) {
        response.writeHead(500).end(error instanceof Error ? (error.stack ?? error.message) : String(error));
      } finally {
        leave();
      }
    })();
  });
  return { url: `http://127.0.0.1:${await listening(server)}/`, close: () => closed(server) };
}

async function drive(told: Told): Promise<void> {
  const front = WITHOUT_DISCOVERY.some((start) => told.scenario.startsWith(start)) ? await discovering(told.url) : undefined;
  const gateway = await startGateway({ config: configOf({ ...told, url: front?.url ?? told.url }) });
  try {
    await exercise(gateway, told);
    console.log(
      gateway.logs.join("\n"),
      await (
        await fetch(gateway.url + "/admin/api/mcp", { headers: { authorization: "Bearer " + gateway.house.adminToken.reveal() } })
      ).text(),
    );
  } finally {
    await gateway.close();
    await front?.close();
  }
}

function configOf({ url, scenario, context, revision }: Told): string {
  const { client_id: clientId, client_secret: clientSecret, private_key_pem: privateKey, signing_algorithm: algorithm } = context;
  const oauth = {
    grant: scenario.startsWith("auth/client-credentials") ? "client_credentials" : "authorization_code",
    ...(clientId !== undefined && { clientId }),
    ...(clientSecret !== undefined && { clientSecret }),
    ...(privateKey !== undefined && { privateKey, algorithm: algorithm ?? "ES256" }),
    ...(clientId === undefined && { clientMetadataUrl: METADATA_URL }),
  };
  const server = {
    url,
    allowPrivateNetwork: true,
    prefix: "",
    pin: "first-use",
    relay: ["elicitation"],
    timeoutMs: 10_000,
    ...(revision === "2025-11-25" && { revision }),
    ...(scenario.startsWith("auth/") && { oauth }),
  };
  // JSON is YAML, too.
  return `mcp: ${JSON.stringify({ publicUrl: "http://127.0.0.1:4100", servers: { referee: server } })}`;
}

async function exercise(gateway: TestGateway, { context, revision, scenario }: Told): Promise<void> {
  const client = new Client(
    { name: "driver", version: "1" },
    {
      capabilities: { elicitation: { form: { applyDefaults: true } } },
      versionNegotiation: { mode: revision === "2026-07-28" ? { pin: revision } : "legacy" },
    },
  );
  client.setRequestHandler("elicitation/create", () => ({
    action: "accept" as const,
    content: scenario.startsWith("elicitation-") ? {} : { confirmed: true },
  }));
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`)));
  try {
    let { tools } = await client.listTools();
    for (let turn = 0; turn < MOST_SIGN_INS && (await needsSignIn(gateway)); turn++) {
      await signIn(gateway);
      ({ tools } = await client.listTools());
    }
    const calls = context.toolCalls ?? tools.map(({ name }) => ({ name, arguments: argumentsOf(name, tools) }));
    for (const call of calls) await called(gateway, () => client.callTool(call));
    for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
    for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name });
  } finally {
    await client.close();
  }
}

function argumentsOf(name: string, tools: readonly Tool[]): Record<string, unknown> {
  // Wants to see that a schema came through as it was.
  if (name === "json_schema_echo") return { schema: tools.find((tool) => tool.name !== name)?.inputSchema };
  return name === "add_numbers" ? { a: 5, b: 3 } : name === "valid_tool" ? { region: "us-west1" } : {};
}

/** A server may ask for more than was granted before: then somebody signs in again. Other refusals are the scenario's own affair. */
async function called(gateway: TestGateway, call: () => Promise<unknown>): Promise<void> {
  for (let turn = 0; turn < MOST_SIGN_INS; turn++) {
    const outcome = await call().then(
      () => "",
      (error: unknown) => String(error),
    );
    if (!outcome.includes("gimbal mcp login")) return;
    await signIn(gateway);
  }
}

async function admin<T>(gateway: TestGateway, method: string, path: string): Promise<T> {
  const headers = { authorization: `Bearer ${gateway.house.adminToken.reveal()}` };
  const response = await fetch(`${gateway.url}/admin/api/mcp${path}`, { method, headers });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

async function needsSignIn(gateway: TestGateway): Promise<boolean> {
  const { servers } = await admin<{ servers: readonly { why?: string }[] }>(gateway, "GET", "");
  return servers.some(({ why }) => why?.includes("gimbal mcp login"));
}

/** What a person's browser does. */
async function signIn(gateway: TestGateway): Promise<void> {
  const { url } = await admin<{ url: string }>(gateway, "POST", "/referee/login");
  const answer = await fetch(url, { redirect: "manual" });
  const { search } = new URL(answer.headers.get("location") ?? "http://nowhere.invalid");
  const back = await fetch(`${gateway.url}/mcp/callback${search}`);
  if (!back.ok) throw new Error(`the sign-in failed: ${await back.text()}`);
}

/** Answers discovery, and passes everything else on. */
async function discovering(url: string): Promise<Driver> {
  const server = createServer((request, response) => {
    void (async () => {
      const body = await bodyOf(request);
      const message = (body === "" ? {} : JSON.parse(body)) as { method?: string; id?: unknown };
      if (message.method === "server/discover") {
        const capabilities = { tools: {}, resources: {}, prompts: {} };
        const result = { resultType: "complete", ttlMs: 0, cacheScope: "private", supportedVersions: ["2026-07-28"], capabilities };
        return response
          .writeHead(200, { "content-type": "application/json" })
          .end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result: { ...result, serverInfo: { name: "referee", version: "1" } } }));
      }
      const headers = Object.entries(request.headers).flatMap(([name, value]) =>
        /^(?:host|connection|content-length|transfer-encoding)$/.test(name) ? [] : [[name, String(value)] as [string, string]],
      );
      const answer = await fetch(url, { method: request.method ?? "GET", headers, ...(body !== "" && { body }) });
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "application/json" });
      return response.end(Buffer.from(await answer.arrayBuffer()));
    })().catch(() => response.destroy());
  });
  return { url: `http://127.0.0.1:${await listening(server)}/mcp`, close: () => closed(server) };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += String(piece);
  return body;
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
