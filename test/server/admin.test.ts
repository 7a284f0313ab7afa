import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LedgerRow } from "../../src/canon/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

const authorization = (): Record<string, string> => ({ authorization: `Bearer ${gateway.house.adminToken.reveal()}` });

/** The status line of a request that `fetch` refuses to make. */
function statusOf(method: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(gateway.url);
    const socket = connect(Number(port), "127.0.0.1", () =>
      socket.write(`${method} /admin/api/keys HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`),
    );
    let text = "";
    socket.on("data", (piece) => (text += piece.toString()));
    socket.on("error", reject);
    socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
  });
}

describe("the admin API", () => {
  it("answers methods that its router can never see", async () => {
    expect(await statusOf("TRACE")).toBe("HTTP/1.1 405 Method Not Allowed");
  });

  it("lists the newest rows of the ledger, of one key where asked", async () => {
    const key = await gateway.key({ name: "mine" });
    const ask = (headers: Record<string, string>): Promise<Response> =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "hello" }] }),
      });
    for (const headers of [{}, { authorization: `Bearer ${key}` }, {}]) await (await ask(headers)).text();
    const [newest, mine] = (await gateway.rows()).toReversed();
    const rows = async (query: string): Promise<readonly LedgerRow[]> =>
      ((await (await fetch(`${gateway.url}/admin/api/ledger${query}`, { headers: authorization() })).json()) as { rows: LedgerRow[] }).rows;
    expect(await rows("")).toHaveLength(3);
    expect(await rows("?limit=1")).toEqual([newest]);
    expect(await rows(`?key=${mine?.callerId ?? ""}`)).toEqual([mine]);
  });

  it("refuses a query it does not know, and anybody without the token", async () => {
    for (const query of ["?limit=0", "?limit=x", "?limt=3"]) {
      const response = await fetch(`${gateway.url}/admin/api/ledger${query}`, { headers: authorization() });
      expect(response.status).toBe(400);
      expect(response.headers.get("x-gimbal-problem")).toBe("invalid_request");
    }
    expect((await fetch(`${gateway.url}/admin/api/ledger`)).status).toBe(401);
  });
});
