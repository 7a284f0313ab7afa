import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openHouse } from "../../src/house.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import type { SurviveFigures } from "./figures.ts";

const CONFIG = `version: 1
sim: { models: { steady: { length: 400, tokensPerSecond: 200, seed: 3 } } }
`;
const SEED = 7;
/** Readers who come back to one call: half of them while it runs. */
const READERS_OF_A_CALL = 500;
const AT_ONCE = 25;
const agent = new Agent({ keepAlive: true, maxSockets: READERS_OF_A_CALL });

interface Got {
  readonly status: number;
  readonly body: string;
}

/** Streams over real sockets, and readers who come back behind a random frame: each must get the rest, byte for byte. */
export async function resume(readers: number): Promise<SurviveFigures["resume"]> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-resume-"));
  const house = await openHouse({ folder, port: 0, env: {}, log: () => {}, config: { text: CONFIG, fileName: "gimbal.yaml" } });
  const random = new SeededRandomness(SEED);
  let [came, whileRunning, wrong] = [0, 0, 0];
  try {
    while (came < readers) {
      const share = Math.min(READERS_OF_A_CALL, readers - came);
      const body = JSON.stringify({ model: "sim/steady", stream: true, messages: [{ role: "user", content: "Go on." }] });
      let over = false;
      const begun = begin(house.url, body);
      const callId = await begun.callId;
      const whole = begun.whole.then((text) => {
        over = true;
        return text;
      });
      const early: Promise<{ after: number; got: Got }>[] = [];
      for (let reader = 0; reader < share / 2; reader++) {
        const after = Math.floor(random.number() * 400);
        early.push(get(`${house.url}/v1/calls/${callId}/events?after=${after}`).then((got) => ({ after, got })));
        if (!over) whileRunning++;
      }
      const results = await Promise.all(early);
      const frames = split(await whole);
      while (results.length < share) {
        const batch = Array.from({ length: Math.min(AT_ONCE, share - results.length) }, async () => {
          const after = Math.floor(random.number() * (frames.length + 1));
          return { after, got: await get(`${house.url}/v1/calls/${callId}/events?after=${after}`) };
        });
        results.push(...(await Promise.all(batch)));
      }
      for (const { after, got } of results) if (got.status !== 200 || got.body !== numbered(frames, after)) wrong++;
      came += share;
    }
    return { readers: came, whileRunning, wrong };
  } finally {
    agent.destroy();
    await house.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function split(text: string): readonly string[] {
  return text.split("\n\n").slice(0, -1);
}

/** What is behind a frame, as a resumed stream holds it. */
function numbered(frames: readonly string[], after: number): string {
  return frames
    .slice(after)
    .map((frame, place) => `id: ${after + place + 1}\n${frame}\n\n`)
    .join("");
}

function begin(url: string, body: string): { readonly callId: Promise<string>; readonly whole: Promise<string> } {
  let told: (id: string) => void = () => {};
  const callId = new Promise<string>((resolve) => (told = resolve));
  const whole = new Promise<string>((resolve, reject) => {
    const sent = request(`${url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json" } }, (response) => {
      told(String(response.headers["x-gimbal-call-id"] ?? ""));
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("end", () => resolve(Buffer.concat(pieces).toString("utf8")));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
  return { callId, whole };
}

function get(url: string): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString("utf8") }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end();
  });
}
