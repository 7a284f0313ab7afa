import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";
import type { Clock, LedgerRow } from "../../src/canon/index.ts";
import { openHouse, type House } from "../../src/house.ts";
import { systemClock } from "../../src/kit/index.ts";

/** Waits that a test cannot sit through take a five-hundredth of their time; what is measured goes on as ever. */
const HASTE = 500;
/** How often leases are renewed: that costs more than it is worth to wait for. */
const TICK_MS = 5000;
export const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  after: (ms, work) => systemClock.after(ms === TICK_MS ? 100 : ms / HASTE, work),
};

/** One provider of each kind that has a batch service, all of them at one server. */
export const fourKinds = (url: string): string => `providers:
  lab: { kind: openai, baseUrl: "${url}/v1", apiKey: k, allowPrivateNetwork: true }
  claude: { kind: anthropic, baseUrl: "${url}", apiKey: k, allowPrivateNetwork: true }
  mistral: { kind: mistral, baseUrl: "${url}/v1", apiKey: k, allowPrivateNetwork: true }
  gemini: { kind: gemini, baseUrl: "${url}", apiKey: k, allowPrivateNetwork: true }
`;

/** A gateway for batches, in this process, that can be closed and opened again over the same data. */
export interface BatchGateway {
  readonly house: House;
  readonly openai: OpenAI;
  readonly anthropic: Anthropic;
  rows(): Promise<readonly LedgerRow[]>;
  /** Those of one batch. */
  rowsOf(batch: string): Promise<readonly LedgerRow[]>;
  close(): Promise<void>;
}

export async function openGateway(config: string, folder: string, apiKey = "x"): Promise<BatchGateway> {
  const house = await openHouse({
    config: { text: `version: 1\n${config}`, fileName: "gimbal.yaml" },
    folder,
    env: {},
    log: () => {},
    host: "127.0.0.1",
    port: 0,
    clock: hasty,
  });
  const rows = async (): Promise<readonly LedgerRow[]> => {
    await house.gateway.live.whenIdle();
    await house.stores.ledger.flush();
    return (await house.stores.ledger.list({ limit: 1000 })).toReversed();
  };
  return {
    house,
    openai: new OpenAI({ apiKey, baseURL: `${house.url}/v1`, maxRetries: 0 }),
    anthropic: new Anthropic({ apiKey, baseURL: house.url, maxRetries: 0 }),
    rows,
    rowsOf: async (batch) => (await rows()).filter(({ metadata }) => metadata?.["batch"] === batch),
    close: () => house.close(),
  };
}

export async function dataFolder(): Promise<{ readonly folder: string; readonly remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-handed-"));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

export interface ChatLine {
  readonly custom_id?: string;
  readonly method?: string;
  readonly url?: string;
  readonly body: unknown;
}

export const chatLine = (id: string, model: string, more: object = {}): ChatLine => ({
  custom_id: id,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model, messages: [{ role: "user", content: `text ${id}` }], ...more },
});

/** Makes a batch of lines of JSON, or of whatever else they are. */
export async function beginBatch(client: OpenAI, lines: readonly (ChatLine | string)[]): Promise<string> {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  const file = await client.files.create({ file: await toFile(Buffer.from(text), "in.jsonl"), purpose: "batch" });
  const made = await client.batches.create({ completion_window: "24h", endpoint: "/v1/chat/completions", input_file_id: file.id });
  return made.id;
}

/** Looks until it is so. */
export async function until<T>(look: () => Promise<T>, isSo: (seen: T) => boolean, withinMs = 20_000): Promise<T> {
  for (const end = Date.now() + withinMs; ;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (Date.now() > end) throw new Error(`It did not come: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function whenOver(client: OpenAI, id: string): Promise<OpenAI.Batch> {
  return until(
    () => client.batches.retrieve(id),
    ({ status }) => ["completed", "failed", "expired", "cancelled"].includes(status),
  );
}

export interface ToldLine {
  readonly custom_id: string;
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: Record<string, unknown> } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export async function toldLines(client: OpenAI, file: string | undefined | null): Promise<readonly ToldLine[]> {
  if (!file) return [];
  const text = await (await client.files.content(file)).text();
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as ToldLine);
}

/** The text of a chat completion. */
export function saidIn(line: ToldLine): string | undefined {
  const choices = line.response?.body["choices"] as readonly { readonly message: { readonly content: string } }[] | undefined;
  return choices?.[0]?.message.content;
}
