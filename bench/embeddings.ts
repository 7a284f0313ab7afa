import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { serve } from "./candidates.ts";
import type { Figure } from "./report.ts";

const INPUTS = 2048;
const DIMENSIONS = 1536;
/** Inputs that the provider takes at once. */
const AT_ONCE = 96;
const ROUNDS = 5;

interface Asked {
  readonly input: readonly string[];
}

/** A provider whose vectors say, by their first number, which text they are of. */
async function provider(): Promise<{ readonly port: number; readonly sent: () => { requests: number; bytes: number }; stop(): void }> {
  const sent = { requests: 0, bytes: 0 };
  const vector = Float32Array.from({ length: DIMENSIONS }, (_, at) => Math.sin(at));
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { input } = JSON.parse(Buffer.concat(chunks).toString()) as Asked;
      const data = input.map((text, index) => {
        vector[0] = Number(text);
        return { object: "embedding", index, embedding: Buffer.from(vector.buffer).toString("base64") };
      });
      const usage = { prompt_tokens: input.length, total_tokens: input.length };
      const body = JSON.stringify({ object: "list", data, model: "vector", usage });
      sent.requests++;
      sent.bytes += body.length;
      response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    port: (server.address() as AddressInfo).port,
    sent: () => ({ ...sent }),
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** 2,048 texts in one request, which the provider takes 96 at a time: over real connections, through a gateway of its own process. */
export async function embeddings(folder: string): Promise<readonly Figure[]> {
  const upstream = await provider();
  const home = join(folder, "embeddings");
  mkdirSync(home, { recursive: true });
  writeFileSync(
    join(home, "gimbal.yaml"),
    `version: 1
providers:
  lab:
    kind: openai-compatible
    baseUrl: "http://127.0.0.1:${upstream.port}/v1"
    apiKey: bench
    allowPrivateNetwork: true
    tasks: { embed: { maxInputs: ${AT_ONCE} } }
`,
  );
  const { child, port } = await serve(["--config", join(home, "gimbal.yaml"), "--data", join(home, "data")]);
  try {
    const body = JSON.stringify({
      model: "lab/vector",
      input: Array.from({ length: INPUTS }, (_, at) => String(at)),
      encoding_format: "base64",
    });
    const ask = async (): Promise<Buffer> => {
      const response = await fetch(`http://127.0.0.1:${port}/v1/embeddings`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      const answer = Buffer.from(await response.arrayBuffer());
      if (response.status !== 200) throw new Error(`embeddings: ${response.status} ${answer.toString().slice(0, 200)}`);
      return answer;
    };
    await ask();
    const times: number[] = [];
    let [misplaced, ratio, requests] = [0, 0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      const before = upstream.sent();
      const began = performance.now();
      const answer = await ask();
      times.push(performance.now() - began);
      const after = upstream.sent();
      ratio = Math.max(ratio, answer.length / (after.bytes - before.bytes));
      requests = after.requests - before.requests;
      misplaced += misplacedIn(answer);
    }
    const median = times.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)];
    return [
      {
        what: `embeddings of ${INPUTS} inputs, requests of ${AT_ONCE} at most`,
        figure: requests,
        limit: Math.ceil(INPUTS / AT_ONCE),
        unit: "",
      },
      { what: "the same, vectors out of their order", figure: misplaced, limit: 0, unit: "" },
      { what: "the same in base64, against the upstream's answers", figure: ratio, limit: 1.2, unit: "x" },
      { what: `the same, ${DIMENSIONS} dimensions, from question to answer`, figure: median, limit: undefined, unit: "ms" },
    ];
  } finally {
    await child.stop();
    upstream.stop();
  }
}

function misplacedIn(answer: Buffer): number {
  const { data } = JSON.parse(answer.toString()) as { readonly data: readonly { readonly index: number; readonly embedding: string }[] };
  const wrong = data.filter(({ index, embedding }, at) => index !== at || Buffer.from(embedding, "base64").readFloatLE() !== at);
  return wrong.length + Math.abs(INPUTS - data.length);
}
