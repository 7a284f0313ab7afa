import { describe, expect, it } from "vitest";
import type { Event, Guard } from "../../src/canon/index.ts";
import { memoryStores } from "../../src/stores/memory.ts";
import {
  CACHE,
  CHAT,
  delta,
  DONE,
  finish,
  HandProvider,
  MESSAGES,
  plain,
  recallBench,
  RESPONSES,
  settled,
  STREAM,
  USAGE,
} from "./recall-support.ts";

const ASK = { model: "a", max_tokens: 100, messages: [{ role: "user", content: "hello" }] };
const texts = (body: string): string =>
  body
    .split("\n")
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(6)) as { choices?: { delta?: { content?: string } }[]; delta?: { text?: string } })
    .map(({ choices, delta: piece }) => choices?.[0]?.delta?.content ?? piece?.text ?? "")
    .join("");

describe("an answer that was paid for", () => {
  it("is given again, byte for byte, for nothing", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    const first = await bench.call(ASK);
    const second = await bench.call({ messages: [{ content: "hello", role: "user" }], max_tokens: 100, model: "a", stream: false });
    expect(provider.turns).toHaveLength(1);
    expect(first.client.cache).toBe("miss");
    expect(second.client.cache).toBe("hit");
    expect(second.client.body).toBe(first.client.body);
    expect(second.client.headers).toMatchObject({ "x-gimbal-target": "p/m", "x-gimbal-attempts": "0" });
    expect(first.row).toMatchObject({ cache: "miss", costNanodollars: 2000, usage: { output: 2 } });
    expect(second.row).toMatchObject({
      state: "done",
      cache: "hit",
      target: "p/m",
      costNanodollars: 0,
      savedNanodollars: 2000,
      usage: { inputUncached: 0, output: 0 },
      attempts: [],
      upstreamModel: "m-1",
    });
    expect(bench.defects).toEqual([]);
  });

  it("is given again from the store, after a restart", async () => {
    const provider = new HandProvider("p", [CHAT], STREAM);
    const stores = memoryStores(recallBench([]).clock);
    const before = await recallBench([provider], { stores: () => stores }).call({ ...ASK, stream: true });
    const after = await recallBench([provider], { stores: () => stores }).call({ ...ASK, stream: true });
    expect(provider.turns).toHaveLength(1);
    expect(after.client.cache).toBe("hit");
    expect(after.client.body).toBe(before.client.body);
  });

  it("is not given when it is asked another thing, of another alias, or too late", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    await bench.call(ASK);
    expect((await bench.call({ ...ASK, temperature: 0.5 })).client.cache).toBe("miss");
    bench.clock.advance(60_000);
    expect((await bench.call(ASK)).client.cache).toBe("miss");
    bench.configure({ strategy: "weighted" });
    expect((await bench.call(ASK)).client.cache).toBe("miss");
    bench.configure({ strategy: "weighted", retries: 5 });
    expect((await bench.call(ASK)).client.cache).toBe("hit");
    expect(provider.turns).toHaveLength(4);
  });

  it("is never given where the alias has no cache", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider], { alias: { cache: undefined } as never });
    await bench.call(ASK);
    const { client, row } = await bench.call(ASK);
    expect(client.cache).toBe("bypass");
    expect(row.cache).toBeUndefined();
    expect(provider.turns).toHaveLength(2);
  });
});

describe("one answer in every form", () => {
  it("made plain serves a stream, made as a stream serves a plain answer", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    await bench.call(ASK);
    const streamed = await bench.call({ ...ASK, stream: true });
    expect(streamed.client.cache).toBe("hit");
    expect(texts(streamed.client.body)).toBe("hello");
    expect(streamed.client.body.endsWith(DONE)).toBe(true);

    const other = { ...ASK, temperature: 1 };
    provider.script = STREAM;
    await bench.call({ ...other, stream: true });
    const whole = await bench.call(other);
    expect(whole.client.cache).toBe("hit");
    expect(whole.client.json).toMatchObject({
      id: "c1",
      object: "chat.completion",
      model: "m-1",
      choices: [{ message: { role: "assistant", content: "hello" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 5, completion_tokens: 2 },
    });
    expect(provider.turns).toHaveLength(2);
  });

  it("withholds the usage frame from those who did not ask for it, whoever made the answer", async () => {
    const provider = new HandProvider("p", [CHAT], STREAM);
    const bench = recallBench([provider]);
    const without = await bench.call({ ...ASK, stream: true });
    const asking = await bench.call({ ...ASK, stream: true, stream_options: { include_usage: true } });
    expect([without.client.cache, asking.client.cache]).toEqual(["miss", "hit"]);
    expect(without.client.body).not.toContain("prompt_tokens");
    expect(asking.client.body).toContain("prompt_tokens");
    const again = await bench.call({ ...ASK, stream: true });
    expect(again.client.body).toBe(without.client.body);
  });

  it("serves a client of another language", async () => {
    const provider = new HandProvider("p", [CHAT], STREAM);
    const bench = recallBench([provider]);
    await bench.call({ ...ASK, stream: true });
    const messages = await bench.call({ ...ASK, stream: true }, { dialect: MESSAGES, headers: { "anthropic-version": "2023-06-01" } });
    expect(messages.client.cache).toBe("hit");
    expect(texts(messages.client.body)).toBe("hello");
    expect(messages.client.body).toContain("event: message_stop");
    const responses = await bench.call({ model: "a", max_output_tokens: 100, input: "hello" }, { dialect: RESPONSES });
    expect(responses.client.cache).toBe("hit");
    expect(responses.client.json).toMatchObject({ object: "response", status: "completed", output: [{ content: [{ text: "hello" }] }] });
    expect(provider.turns).toHaveLength(1);
    expect(bench.defects).toEqual([]);
  });

  it("gives every kept turn an id of its own", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    const ask = { model: "a", input: "hello" };
    const ids: unknown[] = [];
    for (let call = 0; call < 3; call++) ids.push((await bench.call(ask, { dialect: RESPONSES })).client.json["id"]);
    expect(new Set(ids).size).toBe(3);
    expect(provider.turns).toHaveLength(1);
    const next = { model: "a", input: "and then?", previous_response_id: ids[2] };
    expect((await bench.call(next, { dialect: RESPONSES })).client.status).toBe(200);
  });

  it("keeps one caller's labels from another's answer", async () => {
    const upstream = {
      id: "resp_1",
      object: "response",
      created_at: 1,
      status: "completed",
      model: "m-1",
      error: null,
      metadata: { who: "first" },
      user: "first",
      previous_response_id: null,
      output: [
        {
          type: "message",
          id: "msg_1",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "hi", annotations: [] }],
        },
      ],
      usage: { input_tokens: 5, output_tokens: 2, total_tokens: 7 },
    };
    const provider = new HandProvider("p", [RESPONSES], [JSON.stringify(upstream)]);
    const bench = recallBench([provider], { alias: { cache: { ...CACHE, share: "all" } } });
    const ask = (who: string): object => ({ model: "a", store: false, input: "hello", metadata: { who }, user: who });
    const first = await bench.call(ask("first"), { dialect: RESPONSES });
    const same = await bench.call(ask("first"), { dialect: RESPONSES });
    const other = await bench.call(ask("second"), { dialect: RESPONSES });
    expect([first.client.cache, same.client.cache, other.client.cache]).toEqual(["miss", "hit", "hit"]);
    expect(same.client.body).toBe(first.client.body);
    expect(other.client.body).not.toContain("first");
    expect(other.client.json).toMatchObject({ metadata: { who: "second" }, output: [{ content: [{ text: "hi" }] }] });
  });

  it("repeats a stream at the pace at which it came, where that is asked for", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider], { alias: { cache: { ...CACHE, replay: "paced" } } });
    const first = bench.start({ ...ASK, stream: true });
    const turn = await provider.turn(0);
    turn.head();
    turn.send(delta("one"));
    bench.clock.advance(300);
    turn.send(delta("two"));
    bench.clock.advance(50);
    turn.send(finish("stop"), USAGE, DONE);
    turn.end();
    await first.row();
    const again = bench.start({ ...ASK, stream: true });
    await settled();
    expect(texts(again.client.body)).toBe("one");
    bench.clock.advance(299);
    expect(texts(again.client.body)).toBe("one");
    bench.clock.advance(1);
    expect(texts(again.client.body)).toBe("onetwo");
    expect(again.client.ended).toBe(0);
    bench.clock.advance(50);
    await again.row();
    expect(again.client.body).toBe(first.client.body);
    expect((await bench.call(ASK)).client.cache).toBe("hit");
  });
});

describe("what is never kept", () => {
  const twice = async (script: readonly string[], ask: object = ASK): Promise<string | undefined> => {
    const provider = new HandProvider("p", [CHAT], script);
    const bench = recallBench([provider]);
    await bench.call(ask);
    const second = await bench.call(ask);
    expect(bench.deps.recall.flights.size).toBe(0);
    return second.client.cache;
  };
  it("an answer cut by its limit", async () => expect(await twice([plain("hel", "length")])).toBe("miss"));
  it("an answer stopped by a filter", async () => expect(await twice([plain("hel", "content_filter")])).toBe("miss"));
  it("a stream cut by its limit", async () =>
    expect(await twice([delta("hel"), finish("length"), USAGE, DONE], { ...ASK, stream: true })).toBe("miss"));
  it("a stream that ends early", async () => expect(await twice([delta("hel")], { ...ASK, stream: true })).toBe("miss"));
  it("a garbled stream", async () =>
    expect(await twice([delta("hel"), "data: {nonsense\n\n", finish("stop")], { ...ASK, stream: true })).toBe("miss"));
  it("an answer that is no JSON", async () => expect(await twice(["{nonsense"])).toBe("miss"));
  it("an error told as a good answer", async () => expect(await twice([JSON.stringify({ error: { message: "no" } })])).toBe("miss"));
  it("an answer larger than the bound", async () => {
    const provider = new HandProvider("p", [CHAT], [plain("x".repeat(2000))]);
    const bench = recallBench([provider], { limits: { entryBytes: 1000 } });
    await bench.call(ASK);
    expect((await bench.call(ASK)).client.cache).toBe("miss");
  });
  it("a stream cut anywhere before its regular end", async () => {
    const whole = STREAM.join("");
    const complete = whole.length - DONE.length;
    for (let cut = 0; cut < whole.length; cut++) {
      const provider = new HandProvider("p", [CHAT], [whole.slice(0, cut)]);
      const bench = recallBench([provider]);
      await bench.call({ ...ASK, stream: true });
      provider.script = STREAM;
      const next = await bench.call(ASK);
      expect(next.client.json, `cut at ${cut}`).toMatchObject({ choices: [{ message: { content: "hello" } }] });
      if (cut < complete) expect(next.client.cache, `cut at ${cut}`).toBe("miss");
    }
  });
  it("one of several answers, a turn of a thread, a background answer", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    const thread = { ...ASK, thread: { type: "create" } };
    const asks: readonly (readonly [object, string])[] = [
      [{ ...ASK, n: 2 }, CHAT],
      [{ model: "a", input: "hello", background: true }, RESPONSES],
      [thread, MESSAGES],
    ];
    for (const [body, dialect] of asks) {
      const asked = bench.start(body, { dialect, headers: { "anthropic-version": "2026-10-21" } });
      await asked.row();
      expect(asked.client.cache, dialect).toBe("bypass");
    }
  });
  it("a tool call is complete and is kept", async () => {
    const message = {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "t1", type: "function", function: { name: "f", arguments: "{}" } }],
    };
    const answer = { ...(JSON.parse(plain()) as object), choices: [{ index: 0, message, finish_reason: "tool_calls" }] };
    expect(await twice([JSON.stringify(answer)])).toBe("hit");
  });
});

describe("what a caller may ask for", () => {
  it("no-store neither reads nor writes", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    const headers = { "x-gimbal-cache": "no-store" };
    const first = await bench.call(ASK, { headers });
    expect(first.client.cache).toBe("bypass");
    expect(first.row.cache).toBe("bypass");
    expect((await bench.call(ASK)).client.cache).toBe("miss");
    expect((await bench.call(ASK, { headers })).client.cache).toBe("bypass");
    expect(provider.turns).toHaveLength(3);
  });
  it("only-if-cached is answered from what is kept or with 504", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    const headers = { "x-gimbal-cache": "only-if-cached" };
    const refused = await bench.call(ASK, { headers });
    expect(refused.client.status).toBe(504);
    expect(refused.client.headers["x-gimbal-problem"]).toBe("not_found");
    expect(provider.turns).toHaveLength(0);
    await bench.call(ASK);
    expect((await bench.call(ASK, { headers })).client).toMatchObject({ status: 200, cache: "hit" });
    bench.configure({ cache: undefined } as never);
    expect((await bench.call(ASK, { headers })).client.status).toBe(504);
  });
  it("nothing else", async () => {
    const bench = recallBench([new HandProvider()]);
    expect((await bench.call(ASK, { headers: { "x-gimbal-cache": "please" } })).client.status).toBe(400);
    const tags = Array.from({ length: 17 }, (_, index) => `t${index}`).join(",");
    expect((await bench.call(ASK, { headers: { "x-gimbal-cache-tags": tags } })).client.status).toBe(400);
  });
  it("tags, by which answers are forgotten", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider]);
    const other = { ...ASK, temperature: 1 };
    await bench.call(ASK, { headers: { "x-gimbal-cache-tags": "doc-1, doc-2" } });
    await bench.call(other, { headers: { "x-gimbal-cache-tags": "doc-2" } });
    expect(await bench.deps.recall.forget({ kind: "tag", value: "doc-1" })).toBe(1);
    expect((await bench.call(ASK)).client.cache).toBe("miss");
    expect((await bench.call(other)).client.cache).toBe("hit");
    expect(await bench.deps.recall.forget({ kind: "all" })).toBe(2);
    expect((await bench.call(other)).client.cache).toBe("miss");
  });
  it("an answer that was on its way while it was to be forgotten is not kept", async () => {
    const provider = new HandProvider();
    const bench = recallBench([provider]);
    const asked = bench.start(ASK);
    const turn = await provider.turn(0);
    await bench.deps.recall.forget({ kind: "all" });
    turn.head("application/json");
    turn.send(plain());
    turn.end();
    await asked.row();
    provider.script = [plain()];
    expect((await bench.call(ASK)).client.cache).toBe("miss");
  });
});

describe("whose answer it is", () => {
  const shared = async (
    share: "key" | "team" | "project" | "all",
    callers: readonly { team?: string; project?: string }[],
  ): Promise<number> => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider], { alias: { cache: { ...CACHE, share } } });
    for (const caller of callers) await bench.call(ASK, { headers: await bench.key(caller) });
    return provider.turns.length;
  };
  it("its own key's, unless the alias shares it", async () => {
    const search = { team: "search", project: "shop" };
    expect(await shared("key", [search, search])).toBe(2);
    expect(await shared("team", [search, { team: "search" }, { team: "ads" }])).toBe(2);
    expect(await shared("team", [{}, {}])).toBe(2);
    expect(await shared("project", [search, search, { team: "search", project: "maps" }])).toBe(2);
    expect(await shared("all", [search, {}])).toBe(1);
  });
  it("nobody's who may not use the model", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const bench = recallBench([provider], { alias: { cache: { ...CACHE, share: "all" } } });
    await bench.call(ASK);
    const headers = await bench.key({ models: ["b"] });
    expect((await bench.call(ASK, { headers })).client.status).toBe(403);
    expect((await bench.call(ASK, { headers: { ...headers, "x-gimbal-cache": "only-if-cached" } })).client.status).toBe(403);
  });
  it("nobody's once its model, its target or its caller is switched off", async () => {
    for (const [scope, value] of [
      ["all", "*"],
      ["model", "a"],
      ["provider", "p"],
      ["target", "p/m"],
      ["key", "anonymous"],
    ] as const) {
      const provider = new HandProvider("p", [CHAT], [plain()]);
      const bench = recallBench([provider]);
      await bench.call(ASK);
      await bench.stores.switches.put({ id: "s1", kind: "kill", scope, value, author: "admin", createdAt: 0 });
      await bench.deps.switches.refresh();
      const { client } = await bench.call(ASK);
      expect(client.cache, scope).not.toBe("hit");
    }
  });
  it("still the guards' to judge", async () => {
    const shout: Guard = {
      id: "shout",
      readsContent: true,
      event: (event) =>
        event.type === "text"
          ? { verdict: "change", value: { ...event, text: event.text.toUpperCase() }, reason: "loud" }
          : { verdict: "allow" },
    };
    const seen: Event[] = [];
    const watch: Guard = { id: "watch", readsContent: true, event: (event) => (seen.push(event), { verdict: "allow" }) };
    const provider = new HandProvider("p", [CHAT], STREAM);
    const bench = recallBench([provider], { guards: [shout, watch] });
    await bench.call({ ...ASK, stream: true });
    const events = seen.length;
    const hit = await bench.call({ ...ASK, stream: true });
    expect(hit.client.cache).toBe("hit");
    expect(texts(hit.client.body)).toBe("HELLO");
    expect(seen.length).toBe(2 * events);
  });
});

describe("a stale answer", () => {
  it("is given while one call fetches a new one", async () => {
    const provider = new HandProvider("p", [CHAT], [plain("old")]);
    const bench = recallBench([provider], { alias: { cache: { ...CACHE, staleMs: 30_000 } } });
    await bench.call(ASK);
    bench.clock.advance(70_000);
    provider.script = undefined;
    const first = await bench.call(ASK);
    const second = await bench.call(ASK);
    expect([first.client.cache, second.client.cache]).toEqual(["hit", "hit"]);
    expect(first.client.body).toContain("old");
    const turn = await provider.turn(1);
    await settled();
    expect(provider.turns).toHaveLength(2);
    turn.head("application/json");
    turn.send(plain("new"));
    turn.end();
    await bench.deps.live.whenIdle();
    expect((await bench.call(ASK)).client.body).toContain("new");
    const rows = await bench.stores.ledger.list({ limit: 10 });
    expect(rows.filter((row) => row.cache === "miss").map((row) => row.costNanodollars)).toEqual([2000, 2000]);
  });
  it("is kept when the new one fails", async () => {
    const provider = new HandProvider("p", [CHAT], [plain("old")]);
    const bench = recallBench([provider], { alias: { cache: { ...CACHE, staleMs: 30_000 } } });
    await bench.call(ASK);
    bench.clock.advance(70_000);
    provider.script = ["{nonsense"];
    await bench.call(ASK);
    await bench.deps.live.whenIdle();
    expect((await bench.call(ASK)).client.body).toContain("old");
    bench.clock.advance(20_000);
    provider.script = [plain("new")];
    expect((await bench.call(ASK)).client).toMatchObject({ cache: "miss" });
  });
});

describe("a store that fails", () => {
  it("costs hits, not calls", async () => {
    const provider = new HandProvider("p", [CHAT], [plain()]);
    const refuse = (): Promise<never> => Promise.reject(new Error("the disk is gone"));
    const bench = recallBench([provider], {
      stores: (clock) => ({
        ...memoryStores(clock),
        cache: { keep: refuse, read: refuse, forget: refuse, generation: refuse, expire: refuse },
      }),
    });
    expect((await bench.call(ASK)).client).toMatchObject({ status: 200, cache: "miss" });
    expect((await bench.call(ASK)).client).toMatchObject({ status: 200, cache: "miss" });
    expect(bench.defects.length).toBeGreaterThan(0);
  });
});
