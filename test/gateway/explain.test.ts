import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const CONFIG = `
sim:
  models:
    blind: { text: "I see nothing.", capabilities: { vision: false } }
    seeing: { text: "A cat.", capabilities: { vision: true } }
    small: { text: "short", contextTokens: 2000 }
    stuck: { text: "late", faults: [{ kind: stall }] }
models:
  eyes: { targets: [sim/blind, sim/seeing] }
  turns: { targets: [sim/blind, sim/seeing, sim/echo], strategy: round-robin }
  ruled: { targets: [sim/echo], rules: [{ name: gold, when: "metadata.plan == 'gold'", targets: [sim/seeing] }] }
  slow: { targets: [sim/stuck, sim/echo] }
  home: { targets: [sim/echo], requires: { region: eu } }
`;
const IMAGE = { type: "image_url", image_url: { url: "https://example.com/a.png" } };

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ config: CONFIG });
});
afterAll(() => gateway.close());

function ask(model: string, content: unknown = "hello", headers: Record<string, string> = {}, rest: object = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ model, messages: [{ role: "user", content }], ...rest }),
  });
}
async function explain(id: string, headers: Record<string, string> = {}): Promise<Record<string, unknown>> {
  await gateway.rows();
  const response = await fetch(`${gateway.url}/v1/calls/${id}/explain`, { headers });
  return { status: response.status, ...((await response.json()) as object) };
}
const idOf = (response: Response): string => response.headers.get("x-gimbal-call-id") ?? "";
const targetOf = (response: Response): string | null => response.headers.get("x-gimbal-target");

describe("a call goes where it can work", () => {
  it("and says which targets were skipped, also after it is over", async () => {
    const response = await ask("eyes", [{ type: "text", text: "what is it?" }, IMAGE]);
    expect([response.status, targetOf(response)]).toEqual([200, "sim/seeing"]);
    expect(await explain(idOf(response))).toMatchObject({
      state: "done",
      model: "eyes",
      target: "sim/seeing",
      plan: {
        alias: "eyes",
        strategy: "fallback",
        steps: [{ target: "sim/seeing", reason: "the only target that can take the call" }],
        skipped: [{ target: "sim/blind", reason: "takes no images" }],
      },
      attempts: [{ target: "sim/seeing", status: 200 }],
    });
  });

  it("or nowhere: the caller is told what each target lacks, in its own language, and a row is left", async () => {
    const refused = await ask("sim/blind", [IMAGE]);
    expect([refused.status, refused.headers.get("x-gimbal-problem")]).toEqual([400, "unsupported"]);
    expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining("sim/blind takes no images") } });
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "unsupported", attempts: [] });
    expect(await explain(idOf(refused))).toMatchObject({ plan: null, problem: expect.stringContaining("takes no images") });
    const long = await ask("sim/small", "word ".repeat(20_000));
    expect(((await long.json()) as { error: { message: string } }).error.message).toContain("sim/small holds 2000 tokens");
    const elsewhere = await ask("home");
    expect(((await elsewhere.json()) as { error: { message: string } }).error.message).toContain("eu is required");
  });

  it("or nowhere its key may go", async () => {
    const bound = { authorization: `Bearer ${await gateway.key({ requires: { region: "eu", residency: ["eu", "ch"] } })}` };
    const refused = await ask("sim/echo", "hello", bound);
    expect(((await refused.json()) as { error: { message: string } }).error.message).toContain(
      "sim/echo has no region in the configuration, and eu is required",
    );
    await expect(gateway.key({ requires: { country: "eu" } })).rejects.toThrow("country");
  });

  it("or not where a person shut the target", async () => {
    const force = (target: string, word: string): Promise<Response> =>
      fetch(`${gateway.url}/admin/api/health/targets`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
        body: JSON.stringify({ target, force: word }),
      });
    expect((await force("sim/blind", "shut")).status).toBe(200);
    const response = await ask("eyes");
    expect(targetOf(response)).toBe("sim/seeing");
    expect(await explain(idOf(response))).toMatchObject({
      plan: { skipped: [{ target: "sim/blind", reason: expect.stringContaining("shut") }] },
    });
    const direct = await ask("sim/blind");
    expect([direct.status, direct.headers.get("x-gimbal-problem")]).toEqual([502, "upstream_unavailable"]);
    expect((await force("sim/blind", "auto")).status).toBe(200);
    expect(targetOf(await ask("eyes"))).toBe("sim/blind");
  });

  it("by rule", async () => {
    const gold = await ask("ruled", "hello", { "x-gimbal-metadata": '{"plan":"gold"}' });
    expect(targetOf(gold)).toBe("sim/seeing");
    expect(await explain(idOf(gold))).toMatchObject({ plan: { rule: "gold", rules: [{ matched: true }] } });
    const other = await ask("ruled");
    expect(targetOf(other)).toBe("sim/echo");
    expect(await explain(idOf(other))).toMatchObject({
      plan: { rules: [{ name: "gold", matched: false, reason: "its condition failed: No such key: plan" }] },
    });
  });

  it("where its session was answered last", async () => {
    const targets = async (headers: Record<string, string>): Promise<(string | null)[]> => {
      const seen: (string | null)[] = [];
      for (let turn = 0; turn < 4; turn++) {
        const response = await ask("turns", "hello", headers);
        seen.push(targetOf(response));
        // A session is learnt when its call settles.
        await response.text();
        await gateway.house.gateway.live.whenIdle();
      }
      return seen;
    };
    expect(new Set(await targets({})).size).toBe(3);
    expect(new Set(await targets({ "x-gimbal-session": "s1" })).size).toBe(1);
  });
});

describe("GET /v1/calls/{id}/explain", () => {
  it("explains a call that had no choice, and a running one", async () => {
    const plain = await ask("sim/echo");
    expect(await explain(idOf(plain))).toMatchObject({
      plan: { steps: [{ target: "sim/echo", reason: "only target" }], skipped: [] },
      attempts: [{ target: "sim/echo", status: 200 }],
    });
    const answer = ask("slow", "hello", {}, { stream: true });
    const live = await planned();
    const response = await fetch(`${gateway.url}/v1/calls/${live}/explain`);
    expect(await response.json()).toMatchObject({
      id: live,
      state: "open",
      plan: { steps: [{ target: "sim/stuck" }, { target: "sim/echo" }] },
    });
    await fetch(`${gateway.url}/v1/calls/${live}/cancel`, { method: "POST" });
    await (await answer).text();
  });

  it("knows only the caller's own calls", async () => {
    const stranger = { authorization: `Bearer ${await gateway.key()}` };
    const response = await ask("eyes");
    expect(await explain(idOf(response), stranger)).toMatchObject({ status: 404 });
    expect(await explain("call_none")).toMatchObject({ status: 404 });
  });
});

/** The id of the one call under way, once it was planned. */
async function planned(): Promise<string> {
  for (;;) {
    const live = gateway.house.gateway.live.findRunning(() => true);
    if (live && gateway.house.gateway.live.running === 1) {
      const response = await fetch(`${gateway.url}/v1/calls/${live.id}/explain`);
      if (((await response.json()) as { plan: unknown }).plan !== null) return live.id;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
