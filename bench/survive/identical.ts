import type { Provider } from "../../src/canon/index.ts";
import type { SurviveFigures } from "./figures.ts";
import { play } from "./stage.ts";

const CONFIG = `version: 1
providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true }
models: { a: { targets: [lab/m], cache: { ttlSeconds: 600 } } }
serve: { limits: { calls: 20000 } }
`;

/** Identical calls, all of them made while the first is under way. */
export async function identical(calls: number): Promise<SurviveFigures["identical"]> {
  let upstreamCalls = 0;
  const { calls: figures } = await play(
    CONFIG,
    {
      duration: "100ms",
      // All begin within a tenth of a second, and the first answer takes a minute.
      load: { concurrency: calls, mix: [{ model: "a", repeatShare: 1, promptTokens: 200, outputTokens: 60 }] },
      targets: { "*": { ttft: "10s", tokensPerSecond: 1, spread: 0 } },
    },
    (provider): Provider => ({
      ...provider,
      open: (call, sink) => {
        upstreamCalls++;
        return provider.open(call, sink);
      },
    }),
  );
  return { calls: figures.calls, upstreamCalls, answered: figures.complete };
}
