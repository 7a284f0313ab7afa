import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Guard, LedgerRow, LedgerStore } from "../../src/canon/index.ts";
import { openHouse, type House } from "../../src/house.ts";

/** A whole gateway in this process, on loopback, with a data folder of its own. */
export interface TestGateway {
  readonly url: string;
  readonly house: House;
  /** Every line the gateway logged. */
  readonly logs: readonly string[];
  /** Creates a key through the admin API. */
  key(spec?: Readonly<Record<string, unknown>>): Promise<string>;
  /** Ledger rows, oldest first, once every call under way is settled. */
  rows(): Promise<readonly LedgerRow[]>;
  /** How many rows there are then. */
  count(): Promise<number>;
  /** The newest row. */
  lastRow(): Promise<LedgerRow>;
  close(): Promise<void>;
}

export interface GatewayOptions {
  /** `gimbal.yaml` without its `version`. */
  readonly config?: string;
  readonly guards?: readonly Guard[];
  readonly env?: Readonly<Record<string, string>>;
  /** Every provider is asked whatever became of earlier calls: for tests whose upstreams fail on purpose, again and again. */
  readonly trusting?: true;
}

/** More rows than any one test makes. */
const ALL_ROWS = 100_000;

export async function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-test-"));
  const logs: string[] = [];
  const house = await openHouse({
    config: { text: `version: 1\n${options.config ?? ""}`, fileName: "gimbal.yaml" },
    folder,
    host: "127.0.0.1",
    port: 0,
    env: options.env ?? {},
    log: (entry: unknown) => logs.push(typeof entry === "string" ? entry : JSON.stringify(entry)),
    ...(options.guards && { guards: options.guards }),
  });
  if (options.trusting) for (const name of house.snapshot().providers.keys()) house.gateway.health.force(name, undefined, "open");
  const settled = async (): Promise<LedgerStore> => {
    await house.gateway.live.whenIdle();
    await house.stores.ledger.flush();
    return house.stores.ledger;
  };
  return {
    url: house.url,
    house,
    logs,
    rows: async () => (await (await settled()).list({ limit: ALL_ROWS })).toReversed(),
    count: async () => (await settled()).count(),
    key: (spec = {}) => createKey(house, spec),
    lastRow: async () => {
      const [row] = await (await settled()).list({ limit: 1 });
      if (!row) throw new Error("the ledger is empty");
      return row;
    },
    close: async () => {
      await house.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function createKey(house: House, spec: Readonly<Record<string, unknown>>): Promise<string> {
  const response = await fetch(`${house.url}/admin/api/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${house.adminToken.reveal()}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "test", ...spec }),
  });
  if (response.status !== 201) throw new Error(`no key was created: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { key: string }).key;
}

/** A gateway in front of another one: the second serves the simulator in every language, the first speaks to it in one language each. */
export interface GatewayPair {
  readonly front: TestGateway;
  readonly back: TestGateway;
  close(): Promise<void>;
}

/**
 * How a test names its way to the simulator. `sim/` is the client's own language; the others go through a provider that speaks only one,
 * so that every pair of languages meets over real HTTP.
 */
export const ROUTES = ["sim/", "labchat/sim/", "labresponses/sim/", "labclaude/sim/", "labbedrock/sim/", "labcohere/sim/"] as const;

export async function startPair(options: GatewayOptions = {}): Promise<GatewayPair> {
  const back = await startGateway(options);
  const lab = (name: string, lines: string): string => `  ${name}: { ${lines}, apiKey: lab-key, allowPrivateNetwork: true }\n`;
  const front = await startGateway({
    ...options,
    config: `${options.config ?? ""}
providers:
${lab("labchat", `kind: openai-compatible, baseUrl: "${back.url}/v1", dialects: [openai-chat]`)}${lab(
      "labresponses",
      `kind: openai, baseUrl: "${back.url}/v1", dialects: [openai-responses]`,
    )}${lab("labclaude", `kind: anthropic, baseUrl: "${back.url}"`)}${lab("labgemini", `kind: gemini, baseUrl: "${back.url}", dialects: [gemini]`)}${lab("labollama", `kind: ollama, baseUrl: "${back.url}", dialects: [ollama-chat]`)}${lab("labbedrock", `kind: bedrock, region: us-east-1, baseUrl: "${back.url}"`)}${lab("labcohere", `kind: cohere, baseUrl: "${back.url}"`)}${lab("labtext", `kind: vllm, baseUrl: "${back.url}/v1", dialects: [openai-completions]`)}`,
  });
  return {
    front,
    back,
    close: async () => {
      await front.close();
      await back.close();
    },
  };
}
