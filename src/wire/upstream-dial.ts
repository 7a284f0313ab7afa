import { connect as connectTcp, isIP } from "node:net";
import type { LookupFunction, Socket, TcpNetConnectOpts } from "node:net";
import { connect as connectTls } from "node:tls";

const TCP_KEEP_ALIVE_MS = 60_000;

/** Opens connections to one origin. */
export class Dialler {
  readonly #tcp: TcpNetConnectOpts;
  readonly #secure: boolean;
  readonly #serverName: string;
  /** Lets the next handshake be a short one. */
  #session: Buffer | undefined;

  /** `lookup` resolves the name and may refuse what it finds. */
  constructor(url: URL, lookup: LookupFunction | undefined) {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    this.#secure = url.protocol === "https:";
    // An IP address is no server name (RFC 6066, section 3).
    this.#serverName = isIP(host) === 0 ? host : "";
    const port = Number(url.port) || (this.#secure ? 443 : 80);
    const always = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS };
    this.#tcp = lookup ? { ...always, lookup } : always;
  }

  /** The event that says the connection stands. */
  get ready(): "connect" | "secureConnect" {
    return this.#secure ? "secureConnect" : "connect";
  }

  dial(): Socket {
    if (!this.#secure) return connectTcp(this.#tcp);
    const session = this.#session && { session: this.#session };
    const socket = connectTls({ ...this.#tcp, servername: this.#serverName, ALPNProtocols: ["http/1.1"], ...session });
    socket.on("session", (ticket) => (this.#session = ticket));
    return socket;
  }
}
