import { createHash, createHmac } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventMessages } from "../../src/dialects/bedrock-converse/framing.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream, type UpstreamAnswer, type UpstreamRequest } from "../support/upstream.ts";

const ANSWER = {
  output: { message: { role: "assistant", content: [{ text: "Hi" }] } },
  stopReason: "end_turn",
  usage: { inputTokens: 10, outputTokens: 2, totalTokens: 12 },
  metrics: { latencyMs: 5 },
};
const MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const REGION = "eu-west-1";
const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const BODY = { messages: [{ role: "user", content: [{ text: "Hé?" }] }] };

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The signature that a request must have, worked out from what came in by the written rules. Source: AWS Signature Version 4. */
function signatureOf({ method, path, headers }: UpstreamRequest, sentBody: string): string {
  const names = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? "")?.[1] ?? "";
  const canonicalHeaders = names.split(";").map((name) => `${name}:${String(headers[name]).trim()}\n`);
  const canonicalPath = path.split("/").map(encodeURIComponent).join("/");
  const canonical = [method, canonicalPath, "", canonicalHeaders.join(""), names, sha256(sentBody)].join("\n");
  const time = String(headers["x-amz-date"]);
  const day = time.slice(0, 8);
  const scope = `${day}/${REGION}/bedrock/aws4_request`;
  const key = hmac(hmac(hmac(hmac(`AWS4${SECRET}`, day), REGION), "bedrock"), "aws4_request");
  return hmac(key, ["AWS4-HMAC-SHA256", time, scope, sha256(canonical)].join("\n")).toString("hex");
}

/** How far off a clock the service bears, in milliseconds. */
const BORNE_MS = 300_000;

function signedAt({ headers }: UpstreamRequest): number {
  return Date.parse(String(headers["x-amz-date"]).replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

const streamed = (...frames: readonly (readonly [string, object])[]): UpstreamAnswer => {
  const bytes = Buffer.concat(frames.map(([event, body]) => eventMessages.format(event, JSON.stringify(body))));
  return (response) => void response.writeHead(200, { "content-type": eventMessages.contentType }).end(bytes);
};

let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  const at = `kind: bedrock, baseUrl: "${upstream.url}", region: ${REGION}, allowPrivateNetwork: true`;
  gateway = await startGateway({
    config: `
providers:
  signed: { ${at}, accessKeyId: AKIDEXAMPLE, secretAccessKey: "${SECRET}", sessionToken: "to/ken==" }
  keyed: { ${at}, apiKey: "bedrock-api-key-x" }
`,
    env: { AWS_ACCESS_KEY_ID: "AKIDOTHER", AWS_SECRET_ACCESS_KEY: "other", AWS_BEARER_TOKEN_BEDROCK: "other" },
    trusting: true,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});
beforeEach(() => upstream.answerWith(jsonAnswer(ANSWER)));

const post = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  fetch(gateway.url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
const chat = (provider: string): Promise<Response> =>
  post("/v1/chat/completions", { model: `${provider}/${MODEL}`, messages: [{ role: "user", content: "Hé?" }] });
const last = (): UpstreamRequest => {
  const request = upstream.requests.at(-1);
  if (!request) throw new Error("nothing was sent");
  return request;
};

describe("requests to Amazon's cloud", () => {
  it.each(["converse", "converse-stream"])("are signed over path, time, host, token and every byte of the body (%s)", async (method) => {
    upstream.answerWith(
      method === "converse"
        ? jsonAnswer(ANSWER)
        : streamed(
            ["messageStart", { role: "assistant" }],
            ["contentBlockDelta", { contentBlockIndex: 0, delta: { text: "Hi" } }],
            ["contentBlockStop", { contentBlockIndex: 0 }],
            ["messageStop", { stopReason: "end_turn" }],
            ["metadata", { usage: ANSWER.usage, metrics: { latencyMs: 5 } }],
          ),
    );
    const response = await post(`/model/${encodeURIComponent(`signed/${MODEL}`)}/${method}`, BODY, {
      authorization: "AWS4-HMAC-SHA256 Credential=AKIDCALLER/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00",
    });
    expect(response.status).toBe(200);
    const told = Buffer.from(await response.arrayBuffer());
    expect(told.includes("Hi")).toBe(true);
    expect(response.headers.get("content-type")).toContain(
      method === "converse" ? "application/json" : "application/vnd.amazon.eventstream",
    );
    const request = last();
    expect(request.path).toBe(`/model/${encodeURIComponent(MODEL)}/${method}`);
    const { authorization = "" } = request.headers;
    expect(authorization).toContain(
      `Credential=AKIDEXAMPLE/${String(request.headers["x-amz-date"]).slice(0, 8)}/${REGION}/bedrock/aws4_request`,
    );
    expect(/SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(";")).toEqual(
      expect.arrayContaining(["host", "x-amz-date", "x-amz-security-token"]),
    );
    expect(/Signature=(\w+)/.exec(authorization)?.[1]).toBe(signatureOf(request, JSON.stringify(BODY)));
    expect(request.headers["x-amz-security-token"]).toBe("to/ken==");
    const row = await gateway.lastRow();
    expect(row).toMatchObject({ state: "done", fastPath: true, dialect: "bedrock-converse", usage: { inputUncached: 10, output: 2 } });
    // 10 tokens at 3.30 and 2 at 16.50 dollars a million, the price in a region.
    expect(row.costNanodollars).toBe(66_000);
  });

  it("are proven by an API key where there is one", async () => {
    expect((await chat("keyed")).status).toBe(200);
    expect(last().headers["authorization"]).toBe("Bearer bedrock-api-key-x");
    expect(last().headers["x-amz-date"]).toBeUndefined();
  });

  it("are signed anew by the service's time when this machine's clock is wrong, once and for all after", async () => {
    const theirs = Date.now() + 3 * 3_600_000;
    const date = new Date(theirs).toUTCString();
    upstream.answerWith((response, request) => {
      const isNear = Math.abs(signedAt(request) - theirs) < BORNE_MS;
      const refusal = { message: `Signature expired: it is now ${date}` };
      jsonAnswer(isNear ? ANSWER : refusal, isNear ? 200 : 403, {
        date,
        ...(!isNear && { "x-amzn-errortype": "InvalidSignatureException" }),
      })(response, request);
    });
    const before = upstream.requests.length;
    expect((await chat("signed")).status).toBe(200);
    expect(upstream.requests.length - before).toBe(2);
    expect((await chat("signed")).status).toBe(200);
    expect(upstream.requests.length - before).toBe(3);
    // Back to this machine's time, which is right after all.
    upstream.answerWith((response, request) => {
      const isNow = Math.abs(signedAt(request) - Date.now()) < BORNE_MS;
      jsonAnswer(isNow ? ANSWER : { message: "expired" }, isNow ? 200 : 403)(response, request);
    });
    expect((await chat("signed")).status).toBe(200);
  });

  it.each([
    ["ExpiredTokenException", "session token has expired"],
    ["UnrecognizedClientException", "access key"],
    ["InvalidSignatureException", "clock"],
  ])("that are refused with %s say so, and no more than once", async (type, words) => {
    upstream.answerWith(jsonAnswer({ message: `The ${SECRET} is bad.` }, 403, { "x-amzn-errortype": type }));
    const before = upstream.requests.length;
    const response = await chat("signed");
    expect(response.status).toBe(502);
    const text = await response.text();
    expect(text).toContain(words);
    expect(text).not.toContain(SECRET);
    expect(upstream.requests.length - before).toBe(1);
  });

  it("are withdrawn when the client leaves before they are signed", async () => {
    const aborted = new AbortController();
    const waiting = fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: `signed/${MODEL}`, messages: [{ role: "user", content: "x" }] }),
      signal: aborted.signal,
    });
    aborted.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
    await gateway.house.gateway.live.whenIdle();
  });
});

describe("a configuration", () => {
  const refused = async (lines: string, env: Record<string, string> = {}): Promise<string> => {
    const own = await startGateway({ config: `providers:\n  aws: { kind: bedrock, ${lines} }\n`, env }).catch((error: unknown) => error);
    if (own instanceof Error) return own.message;
    await (own as TestGateway).close();
    return "";
  };

  it.each([
    ["apiKey: x", "needs a region"],
    ["apiKey: x, region: nowhere", "none of the cloud's"],
    ["region: us-east-1, accessKeyId: a", "secretAccessKey"],
    ["region: us-east-1, accessKeyId: a, secretAccessKey: b, apiKey: c", "name one"],
  ])("with %s is refused and says why", async (lines, why) => {
    expect(await refused(lines)).toContain(why);
  });

  it("of another kind takes no access key", async () => {
    const own = await startGateway({ config: "providers:\n  openai: { apiKey: k, accessKeyId: a }\n" }).catch((error: unknown) => error);
    expect((own as Error).message).toContain("takes no accessKeyId");
  });
});
