import type { Provider } from "../../src/canon/index.ts";
import type { SurviveFigures } from "./figures.ts";
import { play } from "./stage.ts";

const CONFIG = `version: 1
providers:
  first: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true }
  second: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true }
models: { a: { targets: [first/m, second/m] } }
`;
const DOWN_AT_MS = 30_000;
const BACK_AT_MS = 90_000;

/** A target that is down for a minute: how often it is asked until it is left alone, meanwhile, and until it is trusted again. */
export async function breaker(): Promise<SurviveFigures["breaker"]> {
  const asked: number[] = [];
  const { health } = await play(
    CONFIG,
    {
      duration: "180s",
      // One call after the other: attempts that run at the same time would be counted as failures after it opened.
      load: { callsPerSecond: 5, mix: [{ model: "a", stream: 0, outputTokens: 1 }] },
      targets: { "*": { ttft: "1ms", tokensPerSecond: 10_000 } },
      incidents: [{ at: `${DOWN_AT_MS}ms`, for: `${BACK_AT_MS - DOWN_AT_MS}ms`, target: "first", kind: "down" }],
    },
    (provider, { clock }): Provider =>
      provider.id === "first"
        ? {
            ...provider,
            open: (call, sink) => {
              asked.push(clock.monotonic());
              return provider.open(call, sink);
            },
          }
        : provider,
  );
  const opened = health.find(({ what }) => what === "breaker opened")?.atMs ?? Number.POSITIVE_INFINITY;
  const closed = health.find(({ what }) => what === "breaker closed")?.atMs ?? Number.POSITIVE_INFINITY;
  const between = (from: number, until: number): number => asked.filter((at) => Math.round(at) >= from && Math.round(at) <= until).length;
  return {
    opensAfter: between(DOWN_AT_MS, opened),
    askedWhileDown: between(opened + 1, BACK_AT_MS - 1),
    probesToClose: between(BACK_AT_MS, closed),
  };
}
