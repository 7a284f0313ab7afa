import { expect, it } from "vitest";
import type { Stores } from "../../src/canon/index.ts";
import { openHouse } from "../../src/house.ts";
import { systemClock } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { temporaryFolder } from "../stores/folders.ts";

/** Longer than this test may take: who waited for it would fail. */
const DRAIN_MS = 600_000;

it("a stop with a full disk waits for calls, and not for rows that no patience will write", async () => {
  const kept = memoryStores(systemClock);
  let failure: string | undefined;
  const stores: Stores = {
    ...kept,
    ledger: {
      ...kept.ledger,
      settle: () => {
        failure = "the disk is full";
        return new Promise(() => {});
      },
      failure: () => failure,
      flush: () => Promise.reject(new Error("the disk is full")),
    },
  };
  const house = await openHouse({
    folder: temporaryFolder(),
    config: { text: `version: 1\nserve: { limits: { drainMs: ${DRAIN_MS} } }\n`, fileName: "gimbal.yaml" },
    host: "127.0.0.1",
    port: 0,
    env: {},
    log: () => {},
    stores,
  });
  const response = await fetch(`${house.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "Hi." }] }),
  });
  expect(await response.text()).toContain("Hi.");
  await house.close();
});
