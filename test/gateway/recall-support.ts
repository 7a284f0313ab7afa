import type {
  Alias,
  CacheLimits,
  Capabilities,
  Dialect,
  Guard,
  LedgerRow,
  Problem,
  Provider,
  Snapshot,
  Stores,
  UpstreamCall,
  UpstreamSink,
} from "../../src/canon/index.ts";
import { DEFAULT_CACHE_LIMITS } from "../../src/cache/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { createGateway, openCall, type GatewayDeps } from "../../src/gateway/index.ts";
import { newKey } from "../../src/gateway/keys.ts";
import type { LiveCall } from "../../src/gateway/live.ts";
import type { Reader } from "../../src/gateway/reader.ts";
import { limitsOptions } from "../../src/gateway/options.ts";
import type { CallRequest } from "../../src/gateway/request.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/memory.ts";

export const CHAT = "openai-chat";
export const MESSAGES = "anthropic-messages";
export const RESPONSES = "openai-responses";

const chunk = (fields: object): string =>
  `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 1, model: "m-1", ...fields })}\n\n`;
export const delta = (text: string): string => chunk({ choices: [{ index: 0, delta: { content: text }, finish_reason: null }] });
export const finish = (reason: string): string => chunk({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
export const USAGE = chunk({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } });
export const DONE = "data: [DONE]\n\n";
export const STREAM = [delta("hel"), delta("lo"), finish("stop"), USAGE, DONE];
export const plain = (content = "hello", finishReason = "stop"): string =>
  JSON.stringify({
    id: "c1",
    object: "chat.completion",
    created: 1,
    model: "m-1",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: finishReason }],
    usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
  });

/** One call at the upstream, played by the test. */
export interface UpstreamTurn {
  readonly call: UpstreamCall;
  readonly cancelled: boolean;
  head(contentType?: string, status?: number): void;
  send(...pieces: readonly string[]): void;
  end(): void;
  fail(problem?: Problem): void;
}

/** A provider whose answers the test plays by hand, or that plays `script` at once. */
export class HandProvider implements Provider {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly turns: UpstreamTurn[] = [];
  /** Pieces of every answer; without it the test plays. */
  script: readonly string[] | undefined;

  constructor(id = "p", languages: readonly string[] = [CHAT], script?: readonly string[]) {
    this.id = id;
    this.dialects = languages;
    this.script = script;
  }
  capabilities(): Capabilities {
    return { streamUsage: true, tools: true };
  }
  open(call: UpstreamCall, sink: UpstreamSink): { cancel(): void; resume(): void } {
    const state = { cancelled: false };
    const turn: UpstreamTurn = {
      call,
      get cancelled() {
        return state.cancelled;
      },
      head: (contentType = "text/event-stream", status = 200) => sink.onHead(status, { "content-type": contentType }),
      send: (...pieces) => pieces.forEach((piece) => sink.onData(Buffer.from(piece))),
      end: () => sink.onEnd(),
      fail: (problem = { kind: "upstream_broken", message: "reset" }) => sink.onProblem(problem),
    };
    this.turns.push(turn);
    const { script } = this;
    if (script) {
      queueMicrotask(() => {
        turn.head(script[0]?.startsWith("{") ? "application/json" : undefined);
        turn.send(...script);
        turn.end();
      });
    }
    return { cancel: () => void (state.cancelled = true), resume: () => {} };
  }
  models(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }
  check(): Promise<{ ok: boolean; detail: string }> {
    return Promise.resolve({ ok: true, detail: "by hand" });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  /** The upstream call of this number, once it was made. */
  async turn(number: number): Promise<UpstreamTurn> {
    for (let patience = 0; patience < 100; patience++) {
      const turn = this.turns[number];
      if (turn) return turn;
      await settled();
    }
    throw new Error(`the upstream was never asked for the call of number ${number}`);
  }
}

/** Lets everything that is ready run. */
export async function settled(turns = 4): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export class Client implements Reader {
  status = 0;
  headers: Readonly<Record<string, string>> = {};
  body = "";
  ended = 0;
  full = false;
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.head(status, headers);
    this.body += body.toString();
    this.ended++;
  }
  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.status = status;
    this.headers = headers;
  }
  frames(frames: readonly Buffer[]): boolean {
    for (const frame of frames) this.body += frame.toString();
    return !this.full;
  }
  end(): void {
    this.ended++;
  }
  get cache(): string | undefined {
    return this.headers["x-gimbal-cache"];
  }
  get json(): Record<string, unknown> {
    return JSON.parse(this.body) as Record<string, unknown>;
  }
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly dialect?: string;
}
export interface Asked {
  readonly client: Client;
  readonly live: LiveCall;
  /** The row, once the call is settled. */
  row(): Promise<LedgerRow>;
}
export interface RecallBench {
  readonly deps: GatewayDeps;
  readonly stores: Stores;
  readonly clock: ManualClock;
  /** Whatever the gateway reported; empty in a good test. */
  readonly defects: unknown[];
  /** Replaces the alias, as a new configuration does. */
  configure(alias: Partial<Alias>): void;
  start(body: object, options?: CallOptions): Asked;
  call(body: object, options?: CallOptions): Promise<{ readonly client: Client; readonly row: LedgerRow }>;
  /** Creates a key and gives its header. */
  key(spec?: { readonly team?: string; readonly project?: string; readonly models?: readonly string[] }): Promise<Record<string, string>>;
}

export const CACHE: NonNullable<Alias["cache"]> = { ttlMs: 60_000, staleMs: 0, share: "key", replay: "burst", keyWith: [] };

export function recallBench(
  providers: readonly Provider[],
  options: {
    readonly alias?: Partial<Alias>;
    readonly guards?: readonly Guard[];
    readonly limits?: Partial<CacheLimits>;
    readonly stores?: (clock: ManualClock) => Stores;
  } = {},
): RecallBench {
  const clock = new ManualClock();
  const stores = (options.stores ?? memoryStores)(clock);
  const defects: unknown[] = [];
  const targets = providers.map((provider) => ({ provider: provider.id, model: "m", weight: 1 }));
  const aliasOf = (change: Partial<Alias> = {}): Alias => ({
    name: "a",
    strategy: "fallback",
    retries: 0,
    timeoutMs: 1000,
    continue: "never",
    targets,
    cache: CACHE,
    ...change,
  });
  const snapshotOf = (alias: Alias): Snapshot => ({
    version: 1,
    aliases: new Map([["a", alias]]),
    providers: new Map(providers.map((provider) => [provider.id, provider])),
    limits: limitsOptions.parse({}),
    cache: { ...DEFAULT_CACHE_LIMITS, ...options.limits },
    access: { anonymous: "loopback" },
    callerLimits: [],
  });
  let snapshot = snapshotOf(aliasOf(options.alias));
  const randomness = new SeededRandomness(1);
  const deps = createGateway({
    clock,
    randomness,
    snapshot: () => snapshot,
    dialects,
    stores,
    book: {
      version: "book-1",
      facts: () => undefined,
      cost: (_provider, _model, usage) => usage.output * 1000,
      countTokens: (text) => text.length,
    },
    guards: options.guards ?? [],
    node: "n1",
    report: (error) => defects.push(error),
  });
  const start: RecallBench["start"] = (body, { headers = {}, dialect: id = CHAT } = {}) => {
    const dialect = dialects.get(id) as Dialect;
    const door = dialect.doors.find((candidate) => candidate.does.kind === "call") as CallRequest["door"];
    const client = new Client();
    const readBody = (): Promise<Uint8Array> => Promise.resolve(Buffer.from(JSON.stringify(body)));
    const live = openCall(
      deps,
      { dialect, door, headers: { host: "127.0.0.1:1", ...headers }, params: {}, peer: "127.0.0.1", readBody },
      client,
    );
    const row = async (): Promise<LedgerRow> => {
      await live.whenSettled();
      const found = await stores.ledger.read(live.id);
      if (!found) throw new Error("no row");
      return found;
    };
    return { client, live, row };
  };
  let keys = 0;
  return {
    deps,
    stores,
    clock,
    defects,
    configure: (change) => void (snapshot = snapshotOf(aliasOf(change))),
    start,
    call: async (body, callOptions) => {
      const asked = start(body, callOptions);
      const row = await asked.row();
      if (asked.client.ended !== 1) throw new Error(`the client was ended ${asked.client.ended} times`);
      return { client: asked.client, row };
    },
    key: async ({ models, ...spec } = {}) => {
      const { key, record } = newKey({ name: `key ${++keys}`, scopes: models ? { models } : {}, limits: [], ...spec }, clock, randomness);
      await stores.keys.create(record);
      return { authorization: `Bearer ${key}` };
    },
  };
}
