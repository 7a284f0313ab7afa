import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLocalJWKSet, exportJWK, importSPKI, jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, streamAnswer, type TestUpstream } from "../support/upstream.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

/** A real token endpoint: checks the signature, and gives tokens that are numbered. */
interface TokenServer {
  readonly url: string;
  readonly asked: URLSearchParams[];
  readonly paths: string[];
  /** Life of the next tokens in seconds, and whether any is given. */
  life: number;
  refuses: boolean;
  close(): Promise<void>;
}

async function startTokens(): Promise<TokenServer> {
  const asked: URLSearchParams[] = [];
  const paths: string[] = [];
  const server: Server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    request.on("end", () => {
      asked.push(new URLSearchParams(text));
      paths.push(request.url ?? "");
      const isFlavoured = request.method === "POST" || request.headers["metadata-flavor"] === "Google";
      const status = state.refuses || !isFlavoured ? 400 : 200;
      const body =
        status === 400
          ? { error: "invalid_grant" }
          : { access_token: `token-${asked.length}`, expires_in: state.life, token_type: "Bearer" };
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const state: TokenServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    paths,
    life: 3600,
    refuses: false,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return state;
}

const ANSWER = {
  candidates: [{ content: { role: "model", parts: [{ text: "Hi" }] }, finishReason: "STOP" }],
  usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 1, totalTokenCount: 4, trafficType: "ON_DEMAND" },
  modelVersion: "gemini-2.5-flash",
  responseId: "r1",
};
const MESSAGE = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude",
  content: [{ type: "text", text: "Hi" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 3, output_tokens: 1 },
};

let tokens: TokenServer;
let upstream: TestUpstream;
let gateway: TestGateway | undefined;
const folder = mkdtempSync(join(tmpdir(), "gimbal-vertex-"));

beforeAll(async () => {
  upstream = await startUpstream();
});
afterAll(async () => {
  await upstream.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  tokens = await startTokens();
  upstream.answerWith(jsonAnswer(ANSWER));
});
afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
  await tokens.close();
});

const account = (more: Record<string, unknown> = {}): string =>
  JSON.stringify({
    type: "service_account",
    project_id: "own-project",
    private_key_id: "k1",
    private_key: privateKey,
    client_email: "robot@own-project.example",
    token_uri: `${tokens.url}/token`,
    ...more,
  });

async function start(lines: string, env: Record<string, string> = {}): Promise<TestGateway> {
  gateway = await startGateway({
    config: `providers:\n  cloud: { baseUrl: "${upstream.url}", allowPrivateNetwork: true, ${lines} }\n`,
    env: { ACCOUNT: account(), ...env },
    trusting: true,
  });
  return gateway;
}

function generate(url: string, model = "cloud/gemini-2.5-flash", method = "generateContent"): Promise<Response> {
  return fetch(`${url}/v1beta/models/${model}:${method}?alt=sse`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ contents: [{ role: "user", parts: [{ text: "Hi" }] }] }),
  });
}

const lastRequest = () => upstream.requests.at(-1);

describe("a service account", () => {
  it("signs for a token, which goes with the call to the project's own path", async () => {
    const { url } = await start("kind: vertex, project: p-1, location: europe-west4, serviceAccount: ${ACCOUNT}");
    const response = await generate(url);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual(ANSWER);
    expect(lastRequest()?.path).toBe("/v1/projects/p-1/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent");
    expect(lastRequest()?.headers.authorization).toBe("Bearer token-1");
    const [form] = tokens.asked;
    expect(form?.get("grant_type")).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
    const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(await importSPKI(publicKey, "RS256"))), kid: "k1", alg: "RS256" }] });
    const { payload } = await jwtVerify(form?.get("assertion") ?? "", keys, {
      issuer: "robot@own-project.example",
      audience: `${tokens.url}/token`,
    });
    expect(payload["scope"]).toBe("https://www.googleapis.com/auth/cloud-platform");
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(3600);
    expect(await gateway?.lastRow()).toMatchObject({
      state: "done",
      fastPath: true,
      usage: { inputUncached: 3, output: 1, serviceTier: "on_demand" },
    });
  });

  it("is asked once for many calls at once, and again only ahead of its end", async () => {
    const { url } = await start("kind: vertex, serviceAccount: ${ACCOUNT}");
    const all = await Promise.all(Array.from({ length: 20 }, () => generate(url)));
    expect(all.map((response) => response.status)).toEqual(all.map(() => 200));
    expect(tokens.asked).toHaveLength(1);
    expect(lastRequest()?.path).toContain("/projects/own-project/locations/global/");
    await gateway?.close();

    tokens.life = 120;
    const again = await start("kind: vertex, serviceAccount: ${ACCOUNT}");
    await generate(again.url);
    expect(tokens.asked).toHaveLength(2);
    // Two minutes are left, which is less than the five of renewal: the call is not kept waiting for it.
    expect((await generate(again.url)).status).toBe(200);
    expect(lastRequest()?.headers.authorization).toBe("Bearer token-2");
    await expect.poll(() => tokens.asked.length).toBe(3);
  });

  it("gets another token when one is refused, once", async () => {
    const { url } = await start("kind: vertex, serviceAccount: ${ACCOUNT}");
    const expired = { error: { code: 401, message: "Request had invalid authentication credentials.", status: "UNAUTHENTICATED" } };
    upstream.answerWith((response, request) =>
      request.headers.authorization === "Bearer token-1"
        ? jsonAnswer(expired, 401)(response, request)
        : jsonAnswer(ANSWER)(response, request),
    );
    expect((await generate(url)).status).toBe(200);
    expect(tokens.asked).toHaveLength(2);
    upstream.answerWith(jsonAnswer(expired, 401));
    const before = upstream.requests.length;
    const response = await generate(url);
    expect(response.status).toBe(502);
    expect(upstream.requests.length - before).toBe(2);
    expect(await response.text()).not.toContain("authentication credentials.");
  });

  it("that is refused is told without a word of its key", async () => {
    const { url } = await start("kind: vertex, serviceAccount: ${ACCOUNT}");
    tokens.refuses = true;
    const before = upstream.requests.length;
    const response = await generate(url);
    expect(response.status).toBe(502);
    const text = await response.text();
    expect(text).toContain("invalid_grant");
    expect(text).not.toContain("robot@");
    expect(upstream.requests.length).toBe(before);
  });

  it("with a key that is none says so", async () => {
    const { url } = await start("kind: vertex, serviceAccount: ${ACCOUNT}", { ACCOUNT: account({ private_key: "-----BEGIN nothing" }) });
    const response = await generate(url);
    expect(response.status).toBe(502);
    expect(await response.text()).toContain("PKCS 8");
  });

  it("streams", async () => {
    const { url } = await start("kind: vertex, serviceAccount: ${ACCOUNT}");
    upstream.answerWith(streamAnswer(`data: ${JSON.stringify(ANSWER)}\r\n\r\n`));
    const response = await generate(url, undefined, "streamGenerateContent");
    expect(await response.text()).toBe(`data: ${JSON.stringify(ANSWER)}\r\n\r\n`);
    expect(lastRequest()?.path).toMatch(/:streamGenerateContent\?alt=sse$/);
  });

  it("counts tokens without the wrapping that only the other API knows", async () => {
    const { url } = await start("kind: vertex, serviceAccount: ${ACCOUNT}");
    upstream.answerWith(jsonAnswer({ totalTokens: 7 }));
    const inner = { contents: [{ role: "user", parts: [{ text: "Hi" }] }], systemInstruction: { parts: [{ text: "s" }] } };
    const response = await fetch(`${url}/v1beta/models/cloud/gemini-2.5-flash:countTokens`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ generateContentRequest: { model: "models/x", ...inner } }),
    });
    expect(await response.json()).toEqual({ totalTokens: 7 });
    expect(lastRequest()?.body).toEqual(inner);
  });
});

describe("other credentials", () => {
  it("a file, named in the configuration", async () => {
    const path = join(folder, "key.json");
    writeFileSync(path, account());
    const first = await start(`kind: vertex, serviceAccountFile: "${path}"`);
    expect((await generate(first.url)).status).toBe(200);
  });

  it("what the machine has, only where that is allowed", async () => {
    const path = join(folder, "machine.json");
    writeFileSync(path, account());
    const byFile = await start("kind: vertex, applicationDefault: true", { GOOGLE_APPLICATION_CREDENTIALS: path });
    expect((await generate(byFile.url)).status).toBe(200);
    expect(tokens.paths).toEqual(["/token"]);
    await byFile.close();

    const byServer = await start("kind: vertex, project: p, applicationDefault: true", { GCE_METADATA_HOST: new URL(tokens.url).host });
    expect((await generate(byServer.url)).status).toBe(200);
    expect(tokens.paths[1]).toBe("/computeMetadata/v1/instance/service-accounts/default/token");
    await byServer.close();
    gateway = undefined;
    await expect(start("kind: vertex, project: p", { GOOGLE_APPLICATION_CREDENTIALS: path })).rejects.toThrow("needs serviceAccount");
  });

  it("a person's own sign-in", async () => {
    const path = join(folder, "person.json");
    const person = { type: "authorized_user", client_id: "c", client_secret: "s", refresh_token: "r", token_uri: `${tokens.url}/token` };
    writeFileSync(path, JSON.stringify(person));
    const { url } = await start(`kind: vertex, project: p-2, serviceAccountFile: "${path}"`);
    expect((await generate(url)).status).toBe(200);
    expect(Object.fromEntries(tokens.asked[0] ?? [])).toEqual({
      grant_type: "refresh_token",
      client_id: "c",
      client_secret: "s",
      refresh_token: "r",
    });
  });

  it.each([
    ["kind: vertex", "needs serviceAccount"],
    ["kind: vertex, apiKey: some-key-of-mine", "takes no apiKey"],
    ["kind: vertex, serviceAccountFile: /nowhere/key.json", "cannot read its credentials"],
    ['kind: vertex, serviceAccount: \'{"type":"other"}\'', "of a type that is not known"],
    ["kind: vertex, serviceAccount: not-json", "no JSON object"],
    ["kind: gemini, apiKey: some-key-of-mine, project: p", "takes no project"],
  ])("%s is refused", async (lines, message) => {
    const started = start(lines);
    await expect(started).rejects.toThrow(message);
  });
});

describe("another publisher's models", () => {
  it("have the model in the path and the version in the body", async () => {
    const { url } = await start("kind: vertex-anthropic, project: p, location: us-east5, serviceAccount: ${ACCOUNT}");
    upstream.answerWith(jsonAnswer(MESSAGE));
    const ask = (more: object, path = "/v1/messages") =>
      fetch(url + path, {
        method: "POST",
        headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
        body: JSON.stringify({
          model: "cloud/claude-sonnet-4-5@20250929",
          max_tokens: 10,
          messages: [{ role: "user", content: "Hi" }],
          ...more,
        }),
      });
    expect(await (await ask({})).json()).toEqual(MESSAGE);
    const where = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/";
    expect(lastRequest()?.path).toBe(`${where}claude-sonnet-4-5%4020250929:rawPredict`);
    expect(lastRequest()?.body).toEqual({
      max_tokens: 10,
      messages: [{ role: "user", content: "Hi" }],
      anthropic_version: "vertex-2023-10-16",
    });
    expect((await gateway?.lastRow())?.costNanodollars).toBe(3 * 3000 + 1 * 15_000);

    upstream.answerWith(
      streamAnswer(
        'event: message_start\ndata: {"type":"message_start","message":{"id":"m","content":[]}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
      ),
    );
    await (await ask({ stream: true })).text();
    expect(lastRequest()?.path).toBe(`${where}claude-sonnet-4-5%4020250929:streamRawPredict`);

    upstream.answerWith(jsonAnswer({ input_tokens: 9 }));
    expect(await (await ask({ max_tokens: undefined }, "/v1/messages/count_tokens")).json()).toEqual({ input_tokens: 9 });
    expect(lastRequest()?.path).toBe(`${where}count-tokens:rawPredict`);
    expect(lastRequest()?.body["model"]).toBe("claude-sonnet-4-5@20250929");
  });
});
