import { expect } from "vitest";
import type { TestGateway } from "../support/gateway.ts";

export const TEXT = "Hello from the simulator.";
export const FINAL_TEXT = "Oslo is mild and so is Rome.";
export const THOUGHT = "Two and two makes four.";
export const SIGNATURE = "c2lnbmVkLWJ5LXRoZS1zaW11bGF0b3I=";
export const CITIES = ["Oslo", "Rome"];
/** One red pixel. */
export const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/** The models that every client is tried against. */
export const SIM = `
sim:
  models:
    plain: { text: "${TEXT}" }
    json: { script: [{ text: '{"city":"Oslo","degrees":7}' }] }
    thinker: { text: "${TEXT}", reasoning: "${THOUGHT}", signature: "${SIGNATURE}" }
    endless: { length: 100000, tokensPerSecond: 500 }
    agent:
      text: "${FINAL_TEXT}"
      toolCalls:
        - { name: get_weather, arguments: { city: Oslo } }
        - { name: get_weather, arguments: { city: Rome } }
`;

/** JSON Schema of the tool that the simulated model calls. */
export const CITY_SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
} as const;

/** JSON Schema that the model `json` fills. */
export const REPORT_SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "number" } },
  required: ["city", "degrees"],
  additionalProperties: false,
} as const;
export const REPORT = { city: "Oslo", degrees: 7 };

/** Is the route one on which the bytes of this language pass? */
export function isFast(route: string, language: "labchat/" | "labresponses/" | "labclaude/"): boolean {
  return route === "sim/" || route.startsWith(language);
}

/** The newest row tells of a client that left while the answer was coming. */
export async function expectCancelled(gateway: TestGateway): Promise<void> {
  const row = await gateway.lastRow();
  expect(row).toMatchObject({ state: "cancelled", problem: "cancelled", stream: true });
  expect(row.usage.output).toBeGreaterThan(0);
}
