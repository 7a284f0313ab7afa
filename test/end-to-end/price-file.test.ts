import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ConfigError } from "../../src/config/index.ts";
import { openHouse, type House } from "../../src/house.ts";

const CONFIG = `version: 1
sim: { models: { penny: { text: ok, usage: { input: 1000, output: 100 }, price: { inputUsd: 1, outputUsd: 10 } } } }
models: { cheap: { targets: [sim/penny] } }
`;
let folder: string;
let house: House | undefined;
let logs: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-price-file-"));
  logs = [];
});
afterEach(async () => {
  await house?.close();
  house = undefined;
  await rm(folder, { recursive: true, force: true });
});

async function start(): Promise<House> {
  house = await openHouse({
    config: { text: CONFIG, fileName: join(folder, "gimbal.yaml") },
    folder: join(folder, "data"),
    host: "127.0.0.1",
    port: 0,
    env: {},
    log: (line) => logs.push(line),
  });
  return house;
}

const prices = (text: string): Promise<void> => writeFile(join(folder, "prices.local.yaml"), `version: 1\nprices: ${text}\n`);

async function call({ url, stores, gateway }: House): Promise<{ cost: number | undefined; version: string | undefined }> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "cheap", messages: [{ role: "user", content: "hi" }] }),
  });
  expect(response.status).toBe(200);
  await response.text();
  await gateway.live.whenIdle();
  await stores.ledger.flush();
  const [row] = await stores.ledger.list({ limit: 1 });
  return { cost: row?.costNanodollars, version: row?.priceVersion };
}

const change = async ({ url, adminToken }: House, retries: number): Promise<void> => {
  const response = await fetch(`${url}/admin/api/models/cheap`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${adminToken.reveal()}`, "content-type": "application/json" },
    body: JSON.stringify({ retries }),
  });
  expect(response.status, await response.text()).toBe(200);
};

it("prices calls, is named in their rows, and is read again with every change of the configuration", async () => {
  await prices("{ sim/penny: { discountPercent: 25 } }");
  const running = await start();
  // 1,000 x 1,000 + 100 x 10,000 = 2,000,000 nanodollars, less a quarter.
  const first = await call(running);
  expect(first.cost).toBe(1_500_000);
  await prices("{ sim/penny: { perCallUsd: 0.5 } }");
  await change(running, 1);
  const second = await call(running);
  expect(second.cost).toBe(500_000_000);
  expect(second.version).not.toBe(first.version);
  await prices("{ sim/penny: { perCalUsd: 0.5 } }");
  await change(running, 2);
  expect(logs.join("\n")).toContain('prices.local.yaml:2:24 prices.sim/penny: Unknown key "perCalUsd". Did you mean "perCallUsd"?');
  expect(await call(running)).toEqual(second);
});

it("that is wrong keeps a gateway from starting, with every place", async () => {
  await prices("{ sim/penny: { inputUsd: cheap } }");
  await expect(start()).rejects.toThrow(ConfigError);
  await expect(start()).rejects.toThrow(/prices\.local\.yaml:2:\d+ prices\.sim\/penny\.inputUsd: Expected number/);
});
