import { connect, type OutgoingHttpHeaders } from "node:http2";
import { request } from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canIssue, newAuthority, type Authority } from "../support/certificates.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const CALL = JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "over the wire" }] });
const STREAM = JSON.stringify({ model: "sim/echo", stream: true, messages: [{ role: "user", content: "piece by piece" }] });

describe.skipIf(!canIssue)("a gateway that serves TLS (needs openssl)", () => {
  let authority: Authority;
  let gateway: TestGateway;
  beforeAll(async () => {
    authority = newAuthority();
    const { certFile, keyFile } = authority.issue("gateway");
    gateway = await startGateway({
      config: `serve:\n  tls: { cert: ${certFile}, key: ${keyFile} }\n  trustedProxies: [127.0.0.1]\naccess: { anonymous: loopback }\n`,
    });
  });
  afterAll(async () => {
    await gateway.close();
    authority.remove();
  });

  function overHttp1(headers: Record<string, string>): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const options = { method: "POST", ca: authority.ca, agent: false, headers: { "content-type": "application/json", ...headers } };
      request(`${gateway.url}/v1/chat/completions`, options, (answer) => {
        let text = "";
        answer.on("data", (piece: Buffer) => (text += piece.toString()));
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      })
        .on("error", reject)
        .end(CALL);
    });
  }

  async function overHttp2(bodies: readonly string[], headers: OutgoingHttpHeaders = {}): Promise<{ status: unknown; text: string }[]> {
    const session = connect(gateway.url, { ca: authority.ca });
    const answers = bodies.map(async (body) => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/v1/chat/completions",
        "content-type": "application/json",
        ...headers,
      });
      stream.end(body);
      let status: unknown;
      stream.on("response", (head) => (status = head[":status"]));
      let text = "";
      for await (const piece of stream) text += String(piece);
      return { status, text };
    });
    const all = await Promise.all(answers);
    session.close();
    return all;
  }

  it("says so in its address, and answers calls in both versions of HTTP, each with its row", async () => {
    expect(gateway.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const before = (await gateway.rows()).length;
    expect(await overHttp1({})).toMatchObject({ status: 200, text: expect.stringContaining("over the wire") as string });
    const answers = await overHttp2([CALL, STREAM, CALL]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(answers[1]?.text).toMatch(/piece[^]*data: \[DONE\]/);
    expect(await gateway.rows()).toHaveLength(before + 4);
  });

  it("believes its proxies about their clients, and takes nobody behind one for a neighbour", async () => {
    for (const headers of [{ "x-forwarded-for": "203.0.113.7" }, { "x-forwarded-for": "127.0.0.1" }, { forwarded: "for=127.0.0.1" }]) {
      expect((await overHttp1(headers)).status, JSON.stringify(headers)).toBe(401);
      expect((await overHttp2([CALL], headers))[0]?.status).toBe(401);
    }
    // A page of another origin cannot reach it by another name either.
    expect((await overHttp2([CALL], { ":authority": "rebound.test" }))[0]?.status).toBe(401);
    expect((await overHttp2([CALL], { origin: "https://evil.test" }))[0]?.status).toBe(401);
  });
});
