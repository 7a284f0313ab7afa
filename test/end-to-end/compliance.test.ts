import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMPLIANCE_CASES, runCase } from "../dialects/openai-responses/compliance.cases.ts";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";

let pair: GatewayPair;
beforeAll(async () => {
  pair = await startPair();
});
afterAll(() => pair.close());

describe.each(ROUTES)("the public compliance cases through %s", (route) => {
  it.each(COMPLIANCE_CASES)("$name", async (one) => {
    expect(await runCase(`${pair.front.url}/v1`, one, `${route}tools`)).toEqual([]);
  });
});
