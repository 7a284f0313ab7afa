import { connect as connectTcp } from "node:net";
import type { LookupFunction, Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { SecureContext } from "node:tls";
import { dialProxy, endpointOf, Tunnel } from "./proxy.ts";
import type { ProxyAddress } from "./types.ts";

const TCP_KEEP_ALIVE_MS = 60_000;

interface Way {
  /** Resolves the upstream's name and may refuse what it finds. */
  readonly lookup: LookupFunction | undefined;
  /** Resolves the proxy's name. */
  readonly proxyLookup: LookupFunction | undefined;
  readonly proxy: ProxyAddress | undefined;
  /** Whom to trust and what to show; undefined: the system's authorities, and nothing. */
  readonly context: SecureContext | undefined;
  /** The same without what is shown: that is for the upstream alone. */
  readonly proxyContext: SecureContext | undefined;
  /** The name that the upstream's certificate must be for; undefined: its host's. */
  readonly serverName: string | undefined;
}

/** Opens connections to one origin, directly or through a proxy. */
export class Dialler {
  readonly #url: URL;
  readonly #way: Way;
  readonly #secure: boolean;
  /** Lets the next handshake be a short one. */
  #session: Buffer | undefined;

  constructor(url: URL, way: Way) {
    this.#url = url;
    this.#way = way;
    this.#secure = url.protocol === "https:";
  }

  /** The event that says the connection stands. */
  get ready(): "connect" | "secureConnect" {
    const plainProxy = this.#way.proxy?.url.startsWith("https:") !== true;
    return this.#secure || !plainProxy ? "secureConnect" : "connect";
  }

  dial(): Socket {
    const { proxy, proxyLookup: lookup, proxyContext: context } = this.#way;
    if (!proxy) return this.#secure ? this.#dialSecure() : connectTcp(this.#tcp());
    return this.#secure ? this.#dialThrough(new Tunnel(this.#target(), { proxy, lookup, context })) : dialProxy({ proxy, lookup, context });
  }

  #tcp() {
    const { host, port } = endpointOf(this.#url);
    const { lookup } = this.#way;
    const always = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS };
    return lookup ? { ...always, lookup } : always;
  }

  #target(): string {
    return `${this.#url.hostname}:${endpointOf(this.#url).port}`;
  }

  #tls() {
    const { context, serverName } = this.#way;
    return {
      servername: serverName ?? endpointOf(this.#url).serverName,
      ALPNProtocols: ["http/1.1"],
      ...(context && { secureContext: context }),
      ...(this.#session && { session: this.#session }),
    };
  }

  #dialSecure(): Socket {
    return this.#remembered(connectTls({ ...this.#tcp(), ...this.#tls() }));
  }

  #dialThrough(tunnel: Tunnel): Socket {
    const { host } = endpointOf(this.#url);
    const socket = connectTls({ socket: tunnel, host, ...this.#tls() });
    // The connection inside would only say that it was closed.
    tunnel.on("error", (error) => socket.destroy(error));
    return this.#remembered(socket);
  }

  #remembered(socket: ReturnType<typeof connectTls>): Socket {
    return socket.on("session", (ticket) => (this.#session = ticket));
  }
}
