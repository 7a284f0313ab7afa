import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { startUpstream, type TestUpstream, type UpstreamAnswer } from "../support/upstream.ts";
import { sendAlone, workersOf } from "../support/workers.ts";
import { endAll, listen, serve, type Served } from "./resume-process.ts";
import { promisedMs } from "../support/promised.ts";

/** What every process is promised to hear within. */
const PROMISED_MS = promisedMs(100);
/** How long a target rests: long enough to see both processes leave it alone. */
const OPEN_MS = promisedMs(2000);
/** How long a probe may be held here. */
const HELD_MS = 60_000;
const CALL = { model: "lab/m", messages: [{ role: "user", content: "hi" }] };
const CHAT = "/v1/chat/completions";
const FAILURES = 5;
/** Fresh connections are dealt out to workers in turn. */
const CONNECTIONS = 8;

const fail: UpstreamAnswer = (response) => void response.writeHead(500, { "content-type": "application/json" }).end("{}");
const work: UpstreamAnswer = (response) =>
  void response.writeHead(200, { "content-type": "application/json" }).end(
    JSON.stringify({
      id: "c",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [{ index: 0, message: { role: "assistant", content: "ok" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    }),
  );

let upstream: TestUpstream;
const folders: string[] = [];
beforeEach(async () => {
  upstream = await startUpstream(fail);
});
afterEach(async () => {
  endAll();
  await upstream.close();
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 5 })));
});

const configOf = (more = ""): string => `models: { one: { targets: [lab/m], retries: 0 } }
providers: { lab: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true } }
retry: { budget: { share: 0, perSecond: 0 } }
${more}`;

async function serveWorkers(config: string, env: Readonly<Record<string, string>> = {}): Promise<Served & { readonly file: string }> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-health-"));
  folders.push(folder);
  const file = join(folder, "gimbal.yaml");
  await writeFile(file, `version: 1\n${config}`);
  return { ...(await serve(join(folder, "data"), file, ["--workers", "2"], env)), file };
}

/** Calls over one connection, so that one worker alone sees them. */
async function failAtOne(url: string): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let call = 0; call < FAILURES; call++)
    await new Promise<void>((resolve, reject) => {
      const sent = request(`${url}${CHAT}`, { method: "POST", headers: { "content-type": "application/json" }, agent }, (response) => {
        response.resume().on("end", () => resolve());
      });
      sent.on("error", reject).end(JSON.stringify({ ...CALL, model: "one" }));
    });
  agent.destroy();
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const all = (url: string): ReturnType<typeof sendAlone>[] =>
  Array.from({ length: CONNECTIONS }, () => sendAlone(url, CHAT, { ...CALL, model: "one" }));

describe("with two serving processes", () => {
  it("a breaker that one opens is open in the other, and one probe for both closes it", async () => {
    const { url } = await serveWorkers(configOf(`health: { breaker: { openMs: ${Math.round(OPEN_MS)} } }`));
    await failAtOne(url);
    expect(upstream.requests).toHaveLength(FAILURES);
    await after(PROMISED_MS);
    const refused = await Promise.all(all(url));
    expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 502));
    expect(upstream.requests).toHaveLength(FAILURES);
    let release = (): void => {};
    upstream.answerWith((response, seen) => (release = () => work(response, seen)));
    // One by one, until one of them is the probe. It is held until everybody has had the time to make another.
    const patience = performance.now() + 5 * OPEN_MS;
    const waiting: ReturnType<typeof sendAlone>[] = [];
    while (upstream.requests.length === FAILURES && performance.now() < patience) {
      let isAnswered = false;
      waiting.push(sendAlone(url, CHAT, { ...CALL, model: "one" }, {}, HELD_MS).finally(() => (isAnswered = true)));
      await expect.poll(() => isAnswered || upstream.requests.length > FAILURES).toBe(true);
    }
    await after(PROMISED_MS);
    const beside = await Promise.all([...all(url), ...all(url)]);
    expect(beside.map(({ status }) => status)).toEqual(beside.map(() => 502));
    expect(upstream.requests).toHaveLength(FAILURES + 1);
    upstream.answerWith(work);
    release();
    const answers = await Promise.all(waiting);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    await after(PROMISED_MS);
    expect((await Promise.all(all(url))).map(({ status }) => status)).toEqual(refused.map(() => 200));
  });

  it("a worker that is born later knows what the other knows", async () => {
    const { url, child } = await serveWorkers(configOf("health: { breaker: { openMs: 30000 } }"));
    await failAtOne(url);
    await after(PROMISED_MS);
    const before = workersOf(child.pid ?? 0);
    process.kill(before[0] ?? 0, "SIGKILL");
    await expect.poll(() => workersOf(child.pid ?? 0).filter((pid) => !before.includes(pid)).length, { timeout: 60_000 }).toBe(1);
    const answers = await Promise.all(all(url));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 502));
    await expect.poll(async () => (await Promise.all(all(url))).every(({ status }) => status === 502), { timeout: 30_000 }).toBe(true);
    expect(upstream.requests).toHaveLength(FAILURES);
  });

  it("a wait that the provider asks one for is kept by both", async () => {
    upstream.answerWith((response) => void response.writeHead(429, { "content-type": "application/json", "retry-after": "30" }).end("{}"));
    const { url } = await serveWorkers(configOf());
    expect((await sendAlone(url, CHAT, { ...CALL, model: "one" })).status).toBe(429);
    await after(PROMISED_MS);
    const answers = await Promise.all(all(url));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 429));
    expect(upstream.requests).toHaveLength(1);
  });

  it("streams of one that dies are kept as long as the configuration says, also when that changed", async () => {
    const sim = "sim: { models: { endless: { length: 100000, tokensPerSecond: 200 } } }\n";
    const limits = (ms: number): string => `version: 1\n${configOf(`${sim}serve: { limits: { journalMs: ${ms} } }`)}`;
    const served = await serveWorkers(configOf(`${sim}serve: { limits: { journalMs: 600000 } }`));
    await writeFile(served.file, limits(3000));
    const { url, child } = served;
    await after(promisedMs(1000));
    const stream = await listen(`${url}${CHAT}`, { model: "sim/endless", stream: true, messages: CALL.messages });
    await stream.until(100);
    for (const pid of workersOf(child.pid ?? 0)) process.kill(pid, "SIGKILL");
    const events = async (): Promise<string> =>
      sendAlone(url, `/v1/calls/${stream.callId}/events?after=5`).then(
        ({ status, text }) => `${status} ${text.includes("gateway_restarted") ? "restarted" : ""}`,
        () => "nobody",
      );
    await expect.poll(events, { timeout: 60_000, interval: 50 }).toMatch(/^(200 restarted|404|410)/);
    await expect.poll(events, { timeout: 40_000, interval: 100 }).toMatch(/^(404|410)/);
    stream.leave();
  });
});

describe.skipIf(!hasPostgres)("gateways that share a record in PostgreSQL", () => {
  let server: TestPostgres;
  beforeAll(async () => void (server = await startPostgres()));
  afterAll(() => server?.stop());
  const started: TestGateway[] = [];
  afterEach(async () => void (await Promise.all(started.splice(0).map((one) => one.close()))));

  it("share breakers, workers of one with another's", async () => {
    const env = { GIMBAL_DATABASE_URL: server.url("health"), GIMBAL_DATA_KEY: Buffer.alloc(32, 7).toString("base64") };
    const config = configOf("access: { anonymous: any }\nhealth: { breaker: { openMs: 20000 } }\n");
    const [one, two] = [await startGateway({ config, env }), await startGateway({ config, env })];
    started.push(one, two);
    const { url } = await serveWorkers(config, env);
    await failAtOne(one.url);
    await after(PROMISED_MS);
    const answers = await Promise.all([...all(two.url), ...all(url)]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 502));
    expect(upstream.requests).toHaveLength(FAILURES);
    const [, , shown] = [one, two, two.house.gateway.health.describe().targets.map(({ state }) => state)];
    expect(shown).toEqual(["open"]);
  });
});
