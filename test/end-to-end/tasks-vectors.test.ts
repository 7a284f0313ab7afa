import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

interface Asked {
  readonly model: string;
  readonly input: readonly string[];
  readonly encoding_format?: string;
}
const seen: Asked[] = [];
let answer: (asked: Asked) => string;
let server: Server;
let gateway: TestGateway;

const DIMENSIONS = 512;
const vectorOf = (text: string): Float32Array => Float32Array.from({ length: DIMENSIONS }, (_, at) => Math.sin(Number(text) + at / 7));
const base64Of = (vector: Float32Array): string => Buffer.from(vector.buffer).toString("base64");
/** In the reverse order, each with its number, as a server may answer that works on several at once. */
const answered = ({ input }: Asked, embedding: (text: string) => unknown): string =>
  JSON.stringify({
    object: "list",
    data: input.map((text, index) => ({ object: "embedding", index, embedding: embedding(text) })).toReversed(),
    model: "e",
    usage: { prompt_tokens: input.length, total_tokens: input.length },
  });

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (piece: Buffer) => (text += piece.toString()));
    request.on("end", () => {
      const asked = JSON.parse(text) as Asked;
      seen.push(asked);
      response.writeHead(200, { "content-type": "application/json" }).end(answer(asked));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  gateway = await startGateway({
    trusting: true,
    config: `providers:
  lab: { kind: openai-compatible, baseUrl: "${url}", apiKey: k, allowPrivateNetwork: true, tasks: { embed: { base64: true } }, models: { e: { price: { inputUsd: 1 } } } }
  plain: { kind: openai-compatible, baseUrl: "${url}", apiKey: k, allowPrivateNetwork: true }
models:
  kept: { targets: [plain/e], retries: 0, cache: { ttlSeconds: 60 } }
`,
  });
});
beforeEach(() => {
  seen.length = 0;
  answer = (asked) =>
    answered(asked, (text) => (asked.encoding_format === "base64" ? base64Of(vectorOf(text)) : Array.from(vectorOf(text))));
});
afterAll(async () => {
  await gateway.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const texts = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => String(at));
async function embed(
  model: string,
  input: readonly string[],
  format = "float",
): Promise<{ status: number; text: string; vectors: readonly unknown[] }> {
  const response = await fetch(`${gateway.url}/v1/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, input, ...(format !== "float" && { encoding_format: format }) }),
  });
  const text = await response.text();
  const { data = [] } = JSON.parse(text) as { data?: { index: number; embedding: unknown }[] };
  return { status: response.status, text, vectors: data.toSorted((a, b) => a.index - b.index).map(({ embedding }) => embedding) };
}

describe("vectors that a provider gives in base64", () => {
  it("are asked for so where they are many, and come as the same numbers in the order of the inputs", async () => {
    const { vectors } = await embed("lab/e", texts(300));
    expect(seen.map(({ encoding_format }) => encoding_format)).toEqual(["base64"]);
    expect(vectors).toEqual(texts(300).map((text) => Array.from(vectorOf(text))));
    expect(await gateway.lastRow()).toMatchObject({ state: "done", usage: { inputUncached: 300 }, costNanodollars: 300_000 });
  });

  it("pass as they come where they are few, or where base64 is what the client wants", async () => {
    await embed("lab/e", texts(3));
    expect(await gateway.lastRow()).toMatchObject({ fastPath: true });
    const asked = await embed("lab/e", texts(300), "base64");
    expect(asked.vectors).toEqual(texts(300).map((text) => base64Of(vectorOf(text))));
    // No larger than what the upstream sent.
    expect(asked.text.length).toBe(answer(seen[1] as Asked).length);
    expect(await gateway.lastRow()).toMatchObject({ fastPath: true });
    expect(seen.map(({ encoding_format }) => encoding_format)).toEqual([undefined, "base64"]);
  });

  it("may come as numbers all the same; half a number or none is no vector, and nothing of it is told", async () => {
    answer = (asked) => answered(asked, (text) => Array.from(vectorOf(text)));
    expect((await embed("lab/e", texts(40))).vectors[39]).toEqual(Array.from(vectorOf("39")));
    answer = (asked) =>
      answered(asked, (text) => base64Of(text === "39" ? Float32Array.of(...Array(DIMENSIONS - 1).fill(0), Number.NaN) : vectorOf(text)));
    expect((await embed("lab/e", texts(40))).status).toBe(502);
    answer = (asked) => answered(asked, () => "AAAA");
    expect((await embed("lab/e", texts(40))).status).toBe(502);
  });
});

describe("vectors that come as text", () => {
  it("are read in turns, checked, and passed on byte for byte; kept too", async () => {
    const { text } = await embed("plain/e", texts(300));
    expect(text).toBe(answer(seen[0] as Asked));
    for (const round of [1, 2]) {
      const { vectors } = await embed("kept", texts(60));
      expect(vectors.length, `round ${round}`).toBe(60);
    }
    expect(seen.length).toBe(2);
    expect((await gateway.lastRow()).cache).toBe("hit");
  });

  it("that are garbled, cut, or wrong in one place are refused", async () => {
    const good = answer({ model: "e", input: texts(300) });
    const at = good.length - 5000;
    for (const bad of [
      good.slice(0, at),
      `${good.slice(0, at)}x${good.slice(at + 1)}`,
      good.replace(/-?\d\.\d+(?=\])/, "null"),
      good.replace('"index":7,', '"index":8,'),
    ]) {
      answer = () => bad;
      expect((await embed("plain/e", texts(300))).status).toBe(502);
    }
  });
});
