import type { Provider, UpstreamCall, UpstreamHandle, UpstreamSink } from "../../src/canon/index.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import type { CutFigures } from "./figures.ts";
import { play } from "./stage.ts";

const CONFIG = `version: 1
providers:
  first: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true, models: { m: { price: { inputUsd: 1, outputUsd: 5 } } } }
  second: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true, models: { m: { price: { inputUsd: 1, outputUsd: 5 } } } }
  one: { kind: anthropic, baseUrl: "http://127.0.0.1:9", apiKey: x, allowPrivateNetwork: true, models: { m: { price: { inputUsd: 1, outputUsd: 5 } } } }
  two: { kind: anthropic, baseUrl: "http://127.0.0.1:9", apiKey: x, allowPrivateNetwork: true, models: { m: { price: { inputUsd: 1, outputUsd: 5 } } } }
health: { breaker: { failures: 1000000, share: 0 }, ejection: { errorShare: 0 } }
models:
  chat: { targets: [first/m, second/m], continue: always }
  messages: { targets: [one/m, two/m], continue: always }
`;
/** Targets whose streams are cut. */
const SHAKY: ReadonlySet<string> = new Set(["first", "one"]);
const SHARE = 0.2;
const SEED = 20_260_101;

/** Every client's language, on providers of two languages: forwarded and translated. */
export async function cutStreams(seconds: number): Promise<CutFigures> {
  const shears = new Shears();
  const mix = ["openai-chat", "openai-responses", "anthropic-messages"].flatMap((dialect) =>
    ["chat", "messages"].map((model) => ({ model, dialect, promptTokens: [20, 2000], outputTokens: [5, 300] })),
  );
  const { calls } = await play(CONFIG, { duration: `${seconds}s`, load: { callsPerSecond: 20, mix } }, (provider) =>
    SHAKY.has(provider.id) ? shears.around(provider) : provider,
  );
  const { calls: streams, complete, damaged, continuations, addedNanodollars, costNanodollars } = calls;
  if (Object.keys(calls.problems).length > 0) process.stderr.write(`cut streams: ${JSON.stringify(calls.problems)}\n`);
  return { streams, cut: shears.cuts, complete, damaged, continuations, addedShare: addedNanodollars / costNanodollars };
}

/** Cuts a share of the streams at a random one of all their bytes. To know how many there are, it lets a provider finish first. */
class Shears {
  cuts = 0;
  readonly #random = new SeededRandomness(SEED);

  around(provider: Provider): Provider {
    return {
      ...provider,
      open: (call, sink) => (this.#random.number() < SHARE ? this.#cut(provider, call, sink) : provider.open(call, sink)),
    };
  }

  #cut(provider: Provider, call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const pieces: Buffer[] = [];
    return provider.open(call, {
      onHead: (status, headers) => sink.onHead(status, headers),
      onData: (chunk) => pieces.push(chunk) > 0,
      onProblem: (problem) => sink.onProblem(problem),
      onEnd: () => {
        this.cuts++;
        let left = Math.floor(this.#random.number() * pieces.reduce((sum, { length }) => sum + length, 0));
        for (const piece of pieces) {
          if (left > 0) sink.onData(piece.subarray(0, left));
          left -= piece.length;
        }
        if (this.#random.number() < 0.5) sink.onEnd();
        else sink.onProblem({ kind: "upstream_broken", code: "reset", message: "The connection was reset." });
      },
    });
  }
}
