import { request } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import type { Dialect } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { parseFrame, SeededRandomness } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startShaky, WHOLE, type Fate, type ShakyUpstream } from "./survive-upstream.ts";

const SEED = 20_260_101;
const WELL: Fate = { does: "answer" };
const TOKENS_PER_SECOND = 2000;
/** A long enough input that most breaks fall into it. */
const TOOL_INPUT = { path: "/tmp/file", lines: Array.from({ length: 60 }, (_, place) => `line ${place}`) };
const TOOL_MODEL = {
  text: "Let me write that down.",
  toolCalls: [
    { name: "write", arguments: TOOL_INPUT },
    { name: "read", arguments: { path: "/tmp" } },
  ],
};
/** About as long as an answer is on the wire. */
const ANSWER_BYTES = 16_000;
const PATHS: Readonly<Record<string, string>> = {
  "openai-chat": "/v1/chat/completions",
  "openai-responses": "/v1/responses",
  "anthropic-messages": "/v1/messages",
};

const toClose: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0).toReversed()) await one.close();
});

interface Scene {
  readonly gateway: TestGateway;
  readonly shaky: ShakyUpstream;
  readonly well: ShakyUpstream;
}

/** A shaky first target and a healthy second one, in two wire languages. */
async function scene(fateOf: (number: number) => Fate, alias = "continue: always", model: object = {}): Promise<Scene> {
  const shaky = await startShaky(fateOf, TOKENS_PER_SECOND, model);
  const well = await startShaky(() => WELL, TOKENS_PER_SECOND, model);
  const lab = (name: string, kind: string, url: string): string =>
    `  ${name}: { kind: ${kind}, baseUrl: "${url}", apiKey: x, allowPrivateNetwork: true }\n`;
  const gateway = await startGateway({
    config: `providers:
${lab("a", "openai-compatible", `${shaky.url}/v1`)}${lab("b", "openai-compatible", `${well.url}/v1`)}${lab("c", "anthropic", shaky.url)}${lab("d", "anthropic", well.url)}health: { breaker: { failures: 1000000, share: 0 }, ejection: { errorShare: 0, latencyFactor: 0 } }
serve: { limits: { betweenDataMs: 200 } }
models:
  chat: { targets: [a/m, b/m], timeoutMs: 1000, ${alias} }
  messages: { targets: [c/m, d/m], timeoutMs: 1000, ${alias} }
`,
  });
  toClose.push(shaky, well, gateway);
  return { gateway, shaky, well };
}

/** Everything that can go wrong, drawn from a seed. */
function fates(seed: number): () => Fate {
  const random = new SeededRandomness(seed);
  return () => {
    const kind = random.number();
    const afterBytes = Math.floor(random.number() * ANSWER_BYTES);
    if (kind < 0.1) return { does: "refuse", status: 500 };
    if (kind < 0.15) return { does: "drop" };
    if (kind < 0.25) return { does: "break", afterBytes, how: "reset" };
    if (kind < 0.35) return { does: "break", afterBytes, how: "end" };
    if (kind < 0.4) return { does: "break", afterBytes, how: "stall" };
    return WELL;
  };
}

interface Asked {
  readonly dialect: string;
  readonly model: string;
  readonly stream: boolean;
  /** Leaves after so many bytes of the answer; 0: as soon as the request is sent. */
  readonly leaveAfter?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly text?: string;
}

function bodyOf({ dialect, model, stream, text = "Go on." }: Asked): string {
  if (dialect === "openai-responses") return JSON.stringify({ model, stream, input: text });
  return JSON.stringify({ model, stream, max_tokens: 4000, messages: [{ role: "user", content: text }] });
}

/** Resolves with what the client made of its answer: `whole`, `left`, or what is wrong with it. */
function ask(url: string, asked: Asked): Promise<string> {
  const dialect = dialects.get(asked.dialect);
  if (!dialect) throw new Error(`there is no ${asked.dialect}`);
  return new Promise((resolve) => {
    const headers = { "content-type": "application/json", ...asked.headers };
    const sent = request(`${url}${PATHS[asked.dialect] ?? ""}`, { method: "POST", headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("error", () => {});
      response.on("data", (piece: string) => {
        text += piece;
        if (asked.leaveAfter !== undefined && text.length >= asked.leaveAfter) sent.destroy();
      });
      response.on("close", () => {
        // The rest may have been there already, unread.
        if (sent.destroyed && asked.leaveAfter !== undefined) return resolve("left");
        if (response.statusCode !== 200) return resolve(`status ${response.statusCode}: ${text.slice(0, 200)}`);
        resolve(asked.stream ? verdictOnStream(dialect, text) : verdictOnAnswer(dialect, text));
      });
    });
    sent.on("error", () => resolve("left"));
    sent.end(bodyOf(asked));
    if (asked.leaveAfter === 0) setImmediate(() => sent.destroy());
  });
}

function verdictOnStream(dialect: Dialect, text: string): string {
  let said = "";
  const ends: string[] = [];
  const decoder = dialect.decodeEvents((event) => {
    if (event.type === "text") said += event.text;
    else if (event.type === "done") ends.push("done");
    else if (event.type === "problem") ends.push(`${event.problem.kind}: ${event.problem.message}`);
  }, {});
  for (const piece of text.split("\n\n")) {
    const frame = parseFrame(Buffer.from(`${piece}\n\n`));
    if (frame) decoder.frame(frame);
  }
  return verdict(said, ends);
}

function verdictOnAnswer(dialect: Dialect, text: string): string {
  const { items } = dialect.decodeAnswer(JSON.parse(text) as never, { operation: "generate" });
  const said = items.flatMap((item) => (item.type === "message" ? item.parts : [])).map((part) => ("text" in part ? part.text : ""));
  return verdict(said.join(""), ["done"]);
}

function verdict(said: string, ends: readonly string[]): string {
  if (ends.length !== 1 || ends[0] !== "done") return `ended with ${JSON.stringify(ends)} after ${said.length} characters`;
  if (said === WHOLE) return "whole";
  let at = 0;
  while (at < said.length && said[at] === WHOLE[at]) at++;
  return `differs at ${at} of ${WHOLE.length}: ${JSON.stringify(said.slice(at, at + 40))}`;
}

/** Nothing is held back any more: no attempt runs, no place is taken, no upstream works for nobody. */
async function expectQuiet({ gateway, shaky, well }: Scene, calls: number): Promise<void> {
  const rows = await gateway.rows();
  expect(rows).toHaveLength(calls);
  await expect.poll(() => [shaky.open, well.open]).toEqual([0, 0]);
  expect(gateway.house.gateway.live.running).toBe(0);
  const { targets } = gateway.house.gateway.health.describe();
  expect(targets.filter((target) => target.inFlight > 0 || target.queued > 0)).toEqual([]);
  expect(gateway.logs.filter((line) => line.startsWith("defect"))).toEqual([]);
}

/** Calls in every language, forwarded and translated, streamed and whole. */
function* mixture(count: number): Generator<Asked> {
  for (let place = 0; place < count; place++) {
    const dialect = Object.keys(PATHS)[place % 3] ?? "";
    yield { dialect, model: place % 2 === 0 ? "chat" : "messages", stream: place % 5 !== 0, text: `call ${place}` };
  }
}

async function inLanes<T, R>(work: Iterable<T>, lanes: number, run: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const rest = work[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (let next = rest.next(); !next.done; next = rest.next()) results.push(await run(next.value));
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

function tally(verdicts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const one of verdicts) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}

describe("with a shaky first target and a healthy second one", () => {
  it.each(["continue: always", "continue: always, hedge: { afterMs: 5, maxShare: 1 }"])(
    "every client gets one whole answer: %s",
    async (alias) => {
      const set = await scene(fates(SEED), alias);
      const verdicts = await inLanes(mixture(180), 20, (asked) => ask(set.gateway.url, asked));
      expect(tally(verdicts)).toEqual({ whole: 180 });
      await expectQuiet(set, 180);
      const attempts = (await set.gateway.rows()).flatMap((row) => row.attempts);
      expect(attempts.filter(({ continues }) => continues).length).toBeGreaterThan(10);
    },
  );

  it("clients may leave at any moment: nothing goes on for nobody, and whoever stays is served", async () => {
    const random = new SeededRandomness(SEED);
    const set = await scene(fates(SEED + 1), "continue: always, hedge: { afterMs: 5, maxShare: 1 }");
    const leavers = [...mixture(180)].map((asked, place) =>
      place % 2 === 0 ? { ...asked, leaveAfter: place % 6 === 0 ? 0 : 1 + Math.floor(random.number() * 2 * ANSWER_BYTES) } : asked,
    );
    const verdicts = await inLanes(
      leavers,
      20,
      async (asked) => [asked.leaveAfter !== undefined, await ask(set.gateway.url, asked)] as const,
    );
    expect(tally(verdicts.filter(([leaves]) => !leaves).map(([, one]) => one))).toEqual({ whole: 90 });
    expect(
      Object.keys(tally(verdicts.filter(([leaves]) => leaves).map(([, one]) => one))).filter((one) => one !== "left" && one !== "whole"),
    ).toEqual([]);
    const rows = await set.gateway.rows();
    // One that left before its request was read was no call.
    await expectQuiet(set, rows.length);
    expect(rows.filter(({ state }) => state === "failed")).toEqual([]);
    expect(rows.filter(({ state }) => state === "cancelled").length).toBeGreaterThan(20);
  });

  it("repeated requests with a key join one call each, and get the same bytes", async () => {
    const set = await scene(fates(SEED + 2));
    const texts = await inLanes(
      Array.from({ length: 120 }, (_, place) => place),
      40,
      async (place) => {
        const response = await fetch(`${set.gateway.url}/v1/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json", "idempotency-key": `key-${place % 12}` },
          body: bodyOf({ dialect: "openai-chat", model: "chat", stream: true, text: `call ${place % 12}` }),
        });
        return [place % 12, response.status, await response.text()] as const;
      },
    );
    for (let key = 0; key < 12; key++) {
      const own = texts.filter(([of]) => of === key);
      expect([own.length, new Set(own.map(([, status, text]) => `${status}${text}`)).size]).toEqual([10, 1]);
      expect(own[0]?.[1]).toBe(200);
    }
    const rows = await set.gateway.rows();
    expect(rows.filter(({ attempts }) => attempts.length > 0)).toHaveLength(12);
  });
});

describe("tool calls", () => {
  it("come whole and once, whatever breaks", async () => {
    const random = new SeededRandomness(SEED);
    const breaking = (): Fate =>
      random.number() < 0.6
        ? { does: "break", afterBytes: Math.floor(random.number() * 2 * ANSWER_BYTES), how: random.number() < 0.5 ? "reset" : "end" }
        : WELL;
    const set = await scene(breaking, "continue: always", TOOL_MODEL);
    const verdicts = await inLanes(mixture(150), 15, async (asked) => {
      const response = await fetch(`${set.gateway.url}${PATHS[asked.dialect] ?? ""}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...(JSON.parse(bodyOf({ ...asked, stream: true })) as object), tools: toolsOf(asked.dialect) }),
      });
      return verdictOnTools(asked.dialect, await response.text());
    });
    expect(tally(verdicts)).toEqual({ whole: 150 });
    await expectQuiet(set, 150);
  });
});

/** The two tools in a language's own words. */
function toolsOf(dialect: string): readonly object[] {
  const parameters = { type: "object", additionalProperties: true };
  return ["write", "read"].map((name) =>
    dialect === "openai-chat"
      ? { type: "function", function: { name, parameters } }
      : dialect === "openai-responses"
        ? { type: "function", name, parameters, strict: false }
        : { name, input_schema: parameters },
  );
}

/** `whole`, or what is wrong with the tool calls that a client got. */
function verdictOnTools(id: string, text: string): string {
  const ends: string[] = [];
  const calls: string[] = [];
  const decoder = dialects.get(id)?.decodeEvents((event) => {
    if (event.type === "item_end" && event.item.type === "tool_call") calls.push(`${event.item.name} ${event.item.input}`);
    else if (event.type === "done") ends.push(`done ${event.stop}`);
    else if (event.type === "problem") ends.push(`told ${event.problem.kind}`);
  }, {});
  for (const piece of text.split("\n\n")) {
    const frame = parseFrame(Buffer.from(`${piece}\n\n`));
    if (frame) decoder?.frame(frame);
  }
  const expected = [`write ${JSON.stringify(TOOL_INPUT)}`, 'read {"path":"/tmp"}'];
  const wrong = calls.find((call, place) => call !== expected[place]);
  if (wrong !== undefined) return `a call that nobody made: ${wrong.slice(0, 300)}`;
  if (ends.length !== 1) return `ended with ${JSON.stringify(ends)}`;
  if (ends[0]?.startsWith("told")) return ends[0];
  return calls.length === 2 && ends[0] === "done tool_calls" ? "whole" : `${calls.length} calls, ${ends[0]}`;
}

describe("a target that fails and recovers all the time", () => {
  it("costs its alias's callers nothing but a few attempts", async () => {
    let requests = 0;
    // Up and down every dozen requests.
    const set = await scene(() => (Math.floor(requests++ / 12) % 2 === 0 ? { does: "refuse", status: 503 } : WELL));
    const verdicts = await inLanes(mixture(150), 10, (asked) => ask(set.gateway.url, asked));
    expect(tally(verdicts)).toEqual({ whole: 150 });
    await expectQuiet(set, 150);
  });
});
