import { mkdtemp, rm } from "node:fs/promises";
import { Agent, createServer, request as send } from "node:http";
import { createServer as createSocket, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openHouse } from "../../src/house.ts";
import type { SurviveFigures } from "./figures.ts";

const ANSWER = JSON.stringify({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "ok" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
});
const WARM = 300;
/** Each with percentiles of its own, of which the median counts: a noisy moment is one round's. */
const ROUNDS = 5;
const MODELS = ["healthy", "failing"] as const;

/** Real sockets: what a call costs more, in time, whose first target refuses the connection. The breaker is kept from opening. */
export async function refusedConnection(calls: number): Promise<SurviveFigures["refused"]> {
  const upstream = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end(ANSWER));
  });
  await new Promise<void>((ready) => upstream.listen(0, "127.0.0.1", ready));
  const { port } = upstream.address() as AddressInfo;
  const folder = await mkdtemp(join(tmpdir(), "gimbal-refused-"));
  const lab = (name: string, at: number): string =>
    `  ${name}: { kind: openai-compatible, baseUrl: "http://127.0.0.1:${at}/v1", apiKey: x, allowPrivateNetwork: true }\n`;
  const house = await openHouse({
    folder,
    port: 0,
    env: {},
    log: () => {},
    config: {
      fileName: "gimbal.yaml",
      text: `version: 1
providers:
${lab("well", port)}${lab("gone", await closedPort())}health: { breaker: { failures: 1000000, share: 0 }, ejection: { errorShare: 0 } }
models:
  healthy: { targets: [well/m] }
  failing: { targets: [gone/m, well/m] }
`,
    },
  });
  try {
    for (let call = 0; call < WARM; call++) for (const model of MODELS) await timed(house.url, model);
    const rounds: { healthy: number; failing: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const times: Record<(typeof MODELS)[number], number[]> = { healthy: [], failing: [] };
      // Turn by turn, so that a noisy moment hits both.
      for (let call = 0; call < calls / ROUNDS; call++) for (const model of MODELS) times[model].push(await timed(house.url, model));
      rounds.push({ healthy: p99(times.healthy), failing: p99(times.failing) });
    }
    return {
      calls,
      healthyP99Ms: median(rounds.map(({ healthy }) => healthy)),
      failingP99Ms: median(rounds.map(({ failing }) => failing)),
      addedP99Ms: median(rounds.map(({ healthy, failing }) => failing - healthy)),
    };
  } finally {
    agent.destroy();
    await house.close();
    upstream.closeAllConnections();
    upstream.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Milliseconds from the request to the end of its answer. */
function timed(url: string, model: string): Promise<number> {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] });
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": body.length };
    const sent = send(`${url}/v1/chat/completions`, { method: "POST", agent, headers }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`a call to ${model} was answered ${response.statusCode}`));
      response.resume();
      response.on("end", () => resolve(performance.now() - began));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  const socket = createSocket();
  await new Promise<void>((ready) => socket.listen(0, "127.0.0.1", ready));
  const { port } = socket.address() as AddressInfo;
  await new Promise((closed) => socket.close(closed));
  return port;
}

function p99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1] ?? 0;
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? 0;
}
