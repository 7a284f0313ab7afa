import type { Clock, ModelServer } from "../../canon/index.ts";
import type { ClientOptions, HttpClient } from "../../wire/types.ts";
import { fetchSmall } from "../listing.ts";
import type { ProviderOptions } from "../options.ts";
import { serverKind } from "./kinds.ts";
import type { ServerParts } from "./types.ts";

/** Longest wait for a connection and one answer of a server that tells of itself; the watch gives up sooner. */
const ANSWER_MS = 10_000;
/** Fetching and loading models can be silent as long as it takes to read one from a slow disk. */
const PATIENT_MS = 900_000;

export interface ServerDeps {
  readonly name: string;
  readonly options: Pick<ProviderOptions, "models" | "kind" | "maxHeaderBytes">;
  readonly baseUrl: string;
  readonly connect: (
    limits: Pick<ClientOptions, "baseUrl" | "connectTimeoutMs" | "headTimeoutMs" | "dataTimeoutMs" | "maxConnections">,
  ) => HttpClient;
  readonly headers: () => Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** A server that tells of itself, and its end. */
export interface OpenServer {
  readonly server: ModelServer;
  close(): Promise<void>;
}

/** Undefined where the kind's servers tell nothing of themselves. Connects with the first question. */
export function openServer({ name, options, baseUrl, connect, headers, clock }: ServerDeps): OpenServer | undefined {
  const kind = serverKind(options.kind ?? name);
  if (!kind) return undefined;
  const version = /\/v\d+\w*$/.exec(baseUrl)?.[0] ?? "";
  const root = baseUrl.slice(0, baseUrl.length - version.length);
  const clients = new Map<number, HttpClient>();
  const clientFor = (silenceMs: number): HttpClient => {
    const limits = { connectTimeoutMs: ANSWER_MS, headTimeoutMs: silenceMs, dataTimeoutMs: silenceMs, maxConnections: 8 };
    const client = clients.get(silenceMs) ?? connect({ baseUrl: root, ...limits });
    clients.set(silenceMs, client);
    return client;
  };
  const parts: ServerParts = {
    provider: name,
    models: options.models ?? {},
    patient: () => clientFor(PATIENT_MS),
    headers,
    clock,
    ask:
      (signal) =>
      (path, { body, inApi } = {}) =>
        fetchSmall(clientFor(ANSWER_MS), inApi ? version + path : path, headers(), signal, clock, ANSWER_MS, body),
  };
  return {
    server: kind(parts),
    close: async () => {
      await Promise.all([...clients.values()].map((client) => client.close()));
      clients.clear();
    },
  };
}
