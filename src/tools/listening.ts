import { ProblemError, type Caller } from "../canon/index.ts";
import type { Hub } from "./hub.ts";

/** Source: specification 2026-07-28, "Subscriptions". */
const METHOD = "subscriptions/listen";
/** Resources that one stream tells of. */
const MOST_LISTENED = 1000;

/** Streams of changes by the newer revision: the official server writes them; here it is seen to what they may tell of. */
export class Listening {
  readonly #hub: Hub;
  readonly #report: (error: unknown) => void;

  constructor(hub: Hub, report: (error: unknown) => void) {
    this.#hub = hub;
    this.#report = report;
  }

  /**
   * The body, where it asks for changes of resources: without those that its caller may not see, and with the others watched at their
   * servers until `signal`. Any other body comes back as it is. @throws ProblemError rate_limited
   */
  async admit(body: unknown, caller: Caller, signal: AbortSignal): Promise<unknown> {
    const asked = askedOf(body);
    if (!asked) return body;
    await this.#hub.whenTried();
    if (asked.uris.length > MOST_LISTENED)
      throw new ProblemError({ kind: "rate_limited", message: `A stream tells of at most ${MOST_LISTENED} resources.` });
    const uris = [...new Set(asked.uris)].filter((uri) => this.#hub.resourceAt(caller, uri) !== undefined);
    const stops: (() => void)[] = [];
    const leave = (): void => {
      for (const stop of stops.splice(0)) stop();
    };
    signal.addEventListener("abort", leave, { once: true });
    const begin = async (uri: string): Promise<void> => {
      stops.push(await this.#watch(caller, uri, signal));
      if (signal.aborted) leave();
    };
    for (const uri of uris) void begin(uri);
    return asked.with(uris);
  }

  /** A server that is not there now is asked when it is; what it can tell of at all is its own affair. */
  async #watch(caller: Caller, uri: string, signal: AbortSignal): Promise<() => void> {
    const upstream = this.#hub.resourceAt(caller, uri)?.upstream;
    if (!upstream) return () => {};
    try {
      return await upstream.watch(uri, signal);
    } catch (error) {
      if (error instanceof ProblemError) return upstream.want(uri);
      if (!(error instanceof Error && "code" in error)) this.#report(error);
      return () => {};
    }
  }
}

interface Asked {
  readonly uris: readonly string[];
  with(uris: readonly string[]): unknown;
}

function askedOf(body: unknown): Asked | undefined {
  if (!isRecord(body) || body["method"] !== METHOD) return undefined;
  const { params } = body;
  if (!isRecord(params)) return undefined;
  const { notifications } = params;
  if (!isRecord(notifications)) return undefined;
  const { resourceSubscriptions: listed } = notifications;
  if (!Array.isArray(listed)) return undefined;
  return {
    uris: listed.filter((one) => typeof one === "string"),
    with: (uris) => ({ ...body, params: { ...params, notifications: { ...notifications, resourceSubscriptions: uris } } }),
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
