import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ServerResponse } from "node:http";
import type { Provider, PullProgress } from "../../../src/canon/index.ts";
import { ManualClock, systemClock } from "../../../src/kit/index.ts";
import { createProvider, providerOptions } from "../../../src/providers/index.ts";
import { connect } from "../../../src/wire/client.ts";
import { ModelServerStandIn, refusing, type Answer } from "../../support/model-server.ts";

let server: ModelServerStandIn;
let provider: Provider | undefined;
beforeEach(async () => (server = await new ModelServerStandIn().open()));
afterEach(async () => {
  await provider?.close();
  await server.close();
});

const MANIFEST = { status: "pulling manifest" };
const part = (digest: string, completed: number, total = 1000) => ({
  status: `pulling ${digest}`,
  digest: `sha256:${digest}`,
  total,
  completed,
});
const END = [
  { status: "verifying sha256 digest" },
  { status: "writing manifest" },
  { status: "removing any unused layers" },
  { status: "success" },
];

/** `cut`: the connection breaks behind the last line. */
function lines(said: readonly object[], cut = false): Answer {
  return (_request, response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const text = said.map((line) => `${JSON.stringify(line)}\n`).join("");
    if (!cut) return void response.end(text);
    response.write(text, () => setImmediate(() => response.destroy()));
  };
}

async function pull(answers: readonly Answer[], signal = new AbortController().signal) {
  let place = 0;
  server.answers["/api/pull"] = (request, response: ServerResponse) => {
    const answer = answers[Math.min(place++, answers.length - 1)];
    if (typeof answer === "function") answer(request, response);
  };
  // Waits between two tries pass at once.
  const clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic(),
    after: (ms: number, then: () => void) => (ms === 1000 ? (setImmediate(then), () => {}) : new ManualClock().after(ms, then)),
  };
  provider = createProvider("lab", providerOptions.parse({ kind: "ollama", baseUrl: server.url, allowPrivateNetwork: true }), {
    connect,
    clock,
    env: {},
    facts: () => undefined,
  });
  const told: PullProgress[] = [];
  let failure: string | undefined;
  await provider.server
    ?.pull?.("q", signal, (progress) => told.push(progress))
    .catch((error: unknown) => (failure = (error as Error).message));
  return { told, failure, asked: server.asked };
}

describe("pulling a model into its server", () => {
  it("tells how far all parts are, as the server tells of each", async () => {
    const { told, failure, asked } = await pull([
      lines([MANIFEST, part("a", 0), part("a", 1000), part("b", 500, 3000), part("b", 3000, 3000), ...END]),
    ]);
    expect(failure).toBeUndefined();
    expect(asked).toEqual(['POST /api/pull {"model":"q","stream":true}']);
    expect(told.map(({ status, completed, total }) => [status, completed, total])).toEqual([
      ["pulling manifest", undefined, undefined],
      ["pulling a", 0, 1000],
      ["pulling a", 1000, 1000],
      ["pulling b", 1500, 4000],
      ["pulling b", 4000, 4000],
      ...END.map(({ status }) => [status, 4000, 4000]),
    ]);
  });

  it("goes on where the connection broke, as long as it gets further", async () => {
    const { told, failure, asked } = await pull([
      lines([MANIFEST, part("a", 300)], true),
      lines([MANIFEST, part("a", 700)], true),
      lines([MANIFEST, part("a", 1000), ...END]),
    ]);
    expect(failure).toBeUndefined();
    expect(asked).toHaveLength(3);
    expect(told.filter(({ status }) => status.startsWith("the connection broke"))).toHaveLength(2);
  });

  it("ends where it gets no further, and says how to go on", async () => {
    const { failure, asked } = await pull([lines([MANIFEST, part("a", 300)], true)]);
    expect(asked).toHaveLength(2);
    expect(failure).toMatch(/^The pull of "q" broke off \(.*\)\. What is there is kept; run it again to go on from there\.$/);
  });

  it("takes an answer that ends without success for broken", async () => {
    expect((await pull([lines([MANIFEST, part("a", 1000)])])).failure).toContain("the answer ended early");
  });

  it.each([
    [
      "an error in the middle of the stream",
      lines([MANIFEST, { error: "pull model manifest: file does not exist" }]),
      "pull model manifest: file does not exist",
    ],
    ["an error in place of the stream", refusing(400, { error: "invalid model name" }), "invalid model name"],
    ["a status alone", ((_request, response) => void response.writeHead(500).end()) satisfies Answer, "it answered 500"],
    [
      "a server that cannot pull",
      ((_request, response) => void response.writeHead(404).end("404 page not found")) satisfies Answer,
      "it answered 404",
    ],
  ])("does not ask again after %s", async (_name, answer, why) => {
    const { failure, asked } = await pull([answer]);
    expect(failure).toBe(`The server of the provider "lab" did not pull "q": ${why}.`);
    expect(asked).toHaveLength(1);
  });

  it("reads lines and characters that are cut anywhere, and bears lines that are none", async () => {
    const text = Buffer.from(`not json\n\n${JSON.stringify({ status: "pulling für" })}\n[1]\n${JSON.stringify({ status: "success" })}`);
    const { told, failure } = await pull([
      (_request, response) => {
        response.writeHead(200);
        const send = (place: number): void => {
          if (place >= text.length) return void response.end();
          response.write(text.subarray(place, place + 1), () => setImmediate(() => send(place + 1)));
        };
        send(0);
      },
    ]);
    expect(failure).toBeUndefined();
    expect(told).toEqual([{ status: "pulling für" }, { status: "success" }]);
  });

  it("bears no line without an end, and no figures that are none", async () => {
    expect((await pull([(_request, response) => void response.end("x".repeat(200_000))])).failure).toContain(
      "a line of more than 65536 bytes",
    );
    const { told } = await pull([
      lines([
        { status: "s", digest: "d", total: 10, completed: 1e9 },
        { status: "s", digest: "e", total: -1 },
        { status: 7 },
        { status: "success" },
      ]),
    ]);
    expect(told[0]).toEqual({ status: "s", total: 10, completed: 10 });
    expect(told.at(-1)).toEqual({ status: "success", total: 10, completed: 10 });
  });

  it("stops when it is told to, and leaves the server", async () => {
    const stop = new AbortController();
    const left = Promise.withResolvers<void>();
    const { failure } = await pull(
      [
        (_request, response) => {
          response.on("close", () => left.resolve());
          response.writeHead(200).write(`${JSON.stringify(MANIFEST)}\n`, () => setImmediate(() => stop.abort()));
        },
      ],
      stop.signal,
    );
    expect(failure).toBe("The pull was stopped; run it again to go on from there.");
    await left.promise;
  });
});
