import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { startGateway } from "../support/gateway.ts";
import { endAll, framesOf, listen, serve } from "./resume-process.ts";

const MODELS = `sim:
  models:
    steady: { length: 200, tokensPerSecond: 400, seed: 3 }
    endless: { length: 100000, tokensPerSecond: 200, seed: 4 }
    silent: { length: 400, tokensPerSecond: 150, seed: 6 }
    brief: { length: 12, tokensPerSecond: 400, seed: 5 }
`;
const CONFIG = `version: 1\nstorage: { openHoldMs: 1 }\n${MODELS}`;
/** Far more than one spill takes, and few enough to be quick. */
const FRAMES = 60;

const LANGUAGES = {
  chat: { path: "/v1/chat/completions", body: { messages: [{ role: "user", content: "Go on." }] } },
  responses: { path: "/v1/responses", body: { input: "Go on." } },
  messages: { path: "/v1/messages", body: { max_tokens: 100000, messages: [{ role: "user", content: "Go on." }] } },
} as const;

const TERMINAL = /gateway_restarted|The gateway stopped while call/;

afterEach(endAll);

async function inFolder(use: (folder: string, file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-resume-"));
  try {
    const file = join(folder, "gimbal.yaml");
    await writeFile(file, CONFIG);
    await use(folder, file);
  } finally {
    endAll();
    await rm(folder, { recursive: true, force: true });
  }
}

describe("a stream read on", () => {
  it.each(Object.entries(LANGUAGES))("is byte for byte the same during and after the call: %s", async (_name, { path, body }) => {
    const gateway = await startGateway({ config: MODELS });
    try {
      const first = await listen(`${gateway.url}${path}`, { ...body, model: "sim/steady", stream: true });
      await first.until(20);
      const events = (after: number): Promise<string> =>
        fetch(`${gateway.url}/v1/calls/${first.callId}/events?after=${after}`).then((response) => response.text());
      const [during, ahead] = await Promise.all([events(7), events(150), first.until(Number.POSITIVE_INFINITY)]);
      await gateway.rows();
      await gateway.house.gateway.spilling.flush();
      const all = first.frames();
      expect(framesOf(during).frames).toEqual(all.slice(7));
      expect(framesOf(during).ids).toEqual(all.slice(7).map((_, place) => 8 + place));
      expect(framesOf(ahead).frames).toEqual(all.slice(150));
      expect(gateway.house.gateway.live.find(first.callId)).toBeUndefined();
      for (const after of [0, 1, 99, all.length - 1, all.length]) expect(framesOf(await events(after)).frames).toEqual(all.slice(after));
      const behind = await fetch(`${gateway.url}/v1/calls/${first.callId}/events?after=${all.length + 1}`);
      expect(behind.status).toBe(416);
      const byHeader = await fetch(`${gateway.url}/v1/calls/${first.callId}/events`, { headers: { "last-event-id": "99" } });
      expect(framesOf(await byHeader.text()).frames).toEqual(all.slice(99));
    } finally {
      await gateway.close();
    }
  });

  it("belongs to its caller alone", async () => {
    const gateway = await startGateway({ config: MODELS });
    try {
      const [mine, theirs] = [await gateway.key(), await gateway.key({ name: "other" })];
      const { path, body } = LANGUAGES.chat;
      const first = await listen(
        `${gateway.url}${path}`,
        { ...body, model: "sim/steady", stream: true },
        { headers: { authorization: `Bearer ${mine}` } },
      );
      await first.until(5);
      const ask = (key: string, rest = "events", method = "GET"): Promise<Response> =>
        fetch(`${gateway.url}/v1/calls/${first.callId}/${rest}`, { method, headers: { authorization: `Bearer ${key}` } });
      expect((await ask(theirs)).status).toBe(404);
      expect((await ask(theirs, "cancel", "POST")).status).toBe(404);
      await first.until(Number.POSITIVE_INFINITY);
      await gateway.house.gateway.spilling.flush();
      expect((await ask(theirs)).status).toBe(404);
      expect(framesOf(await (await ask(mine)).text()).frames).toEqual(first.frames());
    } finally {
      await gateway.close();
    }
  });

  it("goes on in the background when its client leaves, and can be read then; cancelled twice it says the same", async () => {
    const gateway = await startGateway({ config: MODELS });
    try {
      const { path, body } = LANGUAGES.chat;
      const detached = { headers: { "x-gimbal-on-disconnect": "detach" } };
      const first = await listen(`${gateway.url}${path}`, { ...body, model: "sim/steady", stream: true }, detached);
      await first.until(5);
      first.leave();
      expect((await gateway.lastRow()).state).toBe("done");
      const text = await (await fetch(`${gateway.url}/v1/calls/${first.callId}/events?after=5`)).text();
      expect(text).toContain("[DONE]");
      expect(framesOf(text).ids[0]).toBe(6);

      const endless = await listen(`${gateway.url}${path}`, { ...body, model: "sim/endless", stream: true }, detached);
      await endless.until(5);
      endless.leave();
      const cancel = (): Promise<unknown> =>
        fetch(`${gateway.url}/v1/calls/${endless.callId}/cancel`, { method: "POST" }).then((response) => response.json());
      const answers = [await cancel(), await cancel()];
      expect(answers[0]).toMatchObject({ state: "cancelled" });
      expect(answers[1]).toEqual(answers[0]);
    } finally {
      await gateway.close();
    }
  });

  it("keeps a reader waiting who asks for what is to come, and tells it when the call ends before that", async () => {
    const gateway = await startGateway({ config: MODELS });
    try {
      const { path, body } = LANGUAGES.chat;
      const first = await listen(`${gateway.url}${path}`, { ...body, model: "sim/endless", stream: true });
      await first.until(5);
      const events = `${gateway.url}/v1/calls/${first.callId}/events`;
      const near = fetch(`${events}?after=30`);
      const far = fetch(`${events}?after=1000000`);
      const early = await near;
      expect(early.status).toBe(200);
      await fetch(`${gateway.url}/v1/calls/${first.callId}/cancel`, { method: "POST" });
      expect(framesOf(await early.text()).ids[0]).toBe(31);
      const late = await far;
      expect([late.status, late.headers.get("x-gimbal-problem")]).toEqual([416, "invalid_request"]);
      expect(await late.text()).toContain("there is nothing behind 1000000");
    } finally {
      await gateway.close();
    }
  });

  it("gives a detached plain answer to whoever asks for it later", async () => {
    const gateway = await startGateway({ config: MODELS });
    try {
      const { path, body } = LANGUAGES.chat;
      const response = await fetch(`${gateway.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-gimbal-on-disconnect": "detach" },
        body: JSON.stringify({ ...body, model: "sim/brief" }),
      });
      const text = await response.text();
      await gateway.rows();
      await gateway.house.gateway.spilling.flush();
      const again = await fetch(`${gateway.url}/v1/calls/${response.headers.get("x-gimbal-call-id")}/events`);
      expect(await again.text()).toBe(text);
    } finally {
      await gateway.close();
    }
  });
});

describe("a stream whose gateway was killed", () => {
  it("is told to the last frame that was spilled, then one problem in its own language, wherever its reader stands", () =>
    inFolder(async (folder, file) => {
      const before = await serve(folder, file);
      const calls = await Promise.all(
        Object.values(LANGUAGES).map(({ path, body }) => listen(`${before.url}${path}`, { ...body, model: "sim/endless", stream: true })),
      );
      await Promise.all(calls.map((call) => call.until(FRAMES)));
      await before.kill();
      for (const call of calls) await call.until(Number.POSITIVE_INFINITY);

      const { url } = await serve(folder, file);
      for (const call of calls) {
        const seen = call.frames();
        const events = async (after: number): Promise<ReturnType<typeof framesOf>> =>
          framesOf(await (await fetch(`${url}/v1/calls/${call.callId}/events?after=${after}`)).text());
        const all = await events(0);
        const spilled = all.frames.findIndex((frame) => TERMINAL.test(frame));
        // What reached the client more than a spill ago is there: at 200 tokens a second, 100 ms are about 20 frames.
        expect(spilled).toBeGreaterThan(seen.length - 40);
        expect(all.frames.slice(0, Math.min(spilled, seen.length))).toEqual(seen.slice(0, spilled));
        expect(all.ids).toEqual(all.frames.map((_, place) => place + 1));
        const terminal = all.frames.slice(spilled);
        expect(terminal.length).toBeLessThanOrEqual(2);
        expect(await events(0)).toEqual(all);
        expect((await events(10)).frames).toEqual(all.frames.slice(10));
        const beyond = await events(spilled + 1000);
        expect(beyond.ids[0]).toBe(spilled + 1001);
        expect(beyond.frames).toHaveLength(terminal.length);
        expect(beyond.frames[0]).toMatch(TERMINAL);
      }
    }));

  it("that had ended is told whole", () =>
    inFolder(async (folder, file) => {
      const before = await serve(folder, file);
      const { path, body } = LANGUAGES.messages;
      const call = await listen(`${before.url}${path}`, { ...body, model: "sim/brief", stream: true });
      await call.until(Number.POSITIVE_INFINITY);
      // Another call that outlasts the spill of the first one's end.
      const other = await listen(`${before.url}${path}`, { ...body, model: "sim/endless", stream: true });
      await other.until(FRAMES);
      await before.kill();
      const { url } = await serve(folder, file);
      const text = await (await fetch(`${url}/v1/calls/${call.callId}/events?after=3`)).text();
      expect(framesOf(text).frames).toEqual(call.frames().slice(3));
    }));
});

describe("what was promised by a gateway that was killed", () => {
  const background = { model: "sim/endless", input: "Go on.", background: true };
  const post = (url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });

  it("reads as failed, and a stream of it goes on to its end and the failure", () =>
    inFolder(async (folder, file) => {
      const before = await serve(folder, file);
      const plain = (await (await post(`${before.url}/v1/responses`, background)).json()) as { id: string };
      const stream = await listen(`${before.url}/v1/responses`, { ...background, stream: true });
      await stream.until(FRAMES);
      const streamed = /"id":"(resp_[^"]+)"/.exec(stream.frames()[0] ?? "")?.[1] ?? "";
      await before.kill();
      await stream.until(Number.POSITIVE_INFINITY);
      const { url } = await serve(folder, file);
      for (const id of [plain.id, streamed]) {
        const read = await fetch(`${url}/v1/responses/${id}`);
        expect(read.status).toBe(200);
        expect(await read.json()).toMatchObject({
          id,
          status: "failed",
          error: { message: expect.stringContaining("gateway stopped") as string },
        });
      }
      const rest = framesOf(await (await fetch(`${url}/v1/responses/${streamed}?stream=true&starting_after=9`)).text());
      expect(rest.frames.slice(0, 20)).toEqual(stream.frames().slice(10, 30));
      const numbers = rest.frames.map((frame) => Number(/"sequence_number":(\d+)/.exec(frame)?.[1]));
      expect(numbers).toEqual(numbers.map((_, place) => 10 + place));
      expect(rest.frames.at(-1)).toContain("response.failed");
      expect(rest.frames.at(-1)).toContain(streamed);
      expect((await post(`${url}/v1/responses`, { model: "sim/echo", input: "on", previous_response_id: plain.id })).status).toBe(409);
    }));

  it("is told again under the same key, and made anew where nothing had been told", () =>
    inFolder(async (folder, file) => {
      const before = await serve(folder, file);
      const keyed = (key: string): RequestInit => ({ headers: { "idempotency-key": key } });
      const { path, body } = LANGUAGES.chat;
      const cut = await listen(`${before.url}${path}`, { ...body, model: "sim/endless", stream: true }, keyed("cut"));
      const finished = await (await post(`${before.url}${path}`, { ...body, model: "sim/brief" }, { "idempotency-key": "done" })).text();
      const silent = post(`${before.url}${path}`, { ...body, model: "sim/silent" }, { "idempotency-key": "silent" }).catch(() => undefined);
      await cut.until(FRAMES);
      await before.kill();
      await silent;
      await cut.until(Number.POSITIVE_INFINITY);
      const { url } = await serve(folder, file);
      const again = await listen(`${url}${path}`, { ...body, model: "sim/endless", stream: true }, keyed("cut"));
      await again.until(Number.POSITIVE_INFINITY);
      expect(again.callId).toBe(cut.callId);
      expect(again.frames().at(-1)).toMatch(TERMINAL);
      const common = Math.min(again.frames().length - 1, cut.frames().length);
      expect(common).toBeGreaterThan(20);
      expect(again.frames().slice(0, common)).toEqual(cut.frames().slice(0, common));
      expect(await (await post(`${url}${path}`, { ...body, model: "sim/brief" }, { "idempotency-key": "done" })).text()).toBe(finished);
      const anew = await post(`${url}${path}`, { ...body, model: "sim/silent" }, { "idempotency-key": "silent" });
      expect(anew.status).toBe(200);
    }));
});

describe("several processes", () => {
  it("read and cancel each other's calls", () =>
    inFolder(async (folder, file) => {
      const { url } = await serve(folder, file, ["--workers", "2"]);
      const { path, body } = LANGUAGES.chat;
      const call = await listen(`${url}${path}`, { ...body, model: "sim/endless", stream: true });
      await call.until(20);
      // Connections are dealt out in turn: four fresh ones reach both processes.
      const fresh = (rest: string, method = "GET"): Promise<Response> =>
        fetch(`${url}/v1/calls/${call.callId}${rest}`, { method, headers: { connection: "close" } });
      const states = await Promise.all([1, 2, 3, 4].map(async () => ((await (await fresh("")).json()) as { state: string }).state));
      expect(states).toEqual(["open", "open", "open", "open"]);
      const readers = [1, 2, 3, 4].map(() => fresh("/events?after=3").then((response) => response.text()));
      await call.until(FRAMES);
      const cancelled = [await (await fresh("/cancel", "POST")).json(), await (await fresh("/cancel", "POST")).json()] as object[];
      expect(cancelled[0]).toMatchObject({ state: "cancelled" });
      expect(cancelled[1]).toEqual(cancelled[0]);
      await call.until(Number.POSITIVE_INFINITY);
      for (const text of await Promise.all(readers)) expect(framesOf(text).frames).toEqual(call.frames().slice(3));
    }));

  it("keep each other's promises, and make a repeated request once", () =>
    inFolder(async (folder, file) => {
      const { url } = await serve(folder, file, ["--workers", "2"]);
      // Connections are dealt out in turn: fresh ones reach both processes.
      const ask = (path: string, body?: object, headers: Record<string, string> = {}): Promise<Response> =>
        fetch(`${url}${path}`, {
          method: body ? "POST" : "GET",
          headers: { "content-type": "application/json", connection: "close", ...headers },
          ...(body && { body: JSON.stringify(body) }),
        });
      const { id } = (await (await ask("/v1/responses", { model: "sim/endless", input: "Go on.", background: true })).json()) as {
        id: string;
      };
      const status = async (): Promise<string> => ((await (await ask(`/v1/responses/${id}`)).json()) as { status: string }).status;
      expect(await Promise.all([status(), status(), status(), status()])).toEqual(Array.from({ length: 4 }, () => "in_progress"));
      const cancelled = await Promise.all([1, 2].map(async () => (await ask(`/v1/responses/${id}/cancel`, {})).json()));
      for (const answer of cancelled) expect(answer).toMatchObject({ id, status: "cancelled" });
      expect(await Promise.all([status(), status()])).toEqual(["cancelled", "cancelled"]);

      const { path, body } = LANGUAGES.chat;
      for (const stream of [true, false]) {
        const key = { "idempotency-key": `workers ${stream}` };
        const answers = await Promise.all([1, 2, 3, 4].map(() => ask(path, { ...body, model: "sim/steady", stream }, key)));
        expect(new Set(answers.map((answer) => answer.headers.get("x-gimbal-call-id"))).size).toBe(1);
        expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
      }
    }));
});
