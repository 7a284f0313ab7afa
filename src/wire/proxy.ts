import { connect as connectTcp, isIP } from "node:net";
import type { LookupFunction, Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { SecureContext } from "node:tls";
import type { ProxyAddress } from "./types.ts";

/** A proxy's answer to CONNECT is never longer, in bytes. */
const MAX_ANSWER_BYTES = 16 * 1024;
const TCP_KEEP_ALIVE_MS = 60_000;
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: |$)/;

export type ProxyFault = "unreachable" | "credentials" | "refused" | "garbled";

/** The way to an upstream failed at its proxy. */
export class ProxyFailure extends Error {
  readonly fault: ProxyFault;
  /** `host:port` of the proxy. */
  readonly proxy: string;
  /** The proxy's status, or an error code. */
  readonly detail: string;

  constructor(fault: ProxyFault, proxy: string, detail: string) {
    super(`the proxy ${proxy}: ${fault}`);
    this.fault = fault;
    this.proxy = proxy;
    this.detail = detail;
  }
}

/** The name and port of a URL's server, for dialling. */
export function endpointOf(url: URL): { readonly host: string; readonly port: number; readonly serverName: string } {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // An IP address is no server name (RFC 6066, section 3).
  return { host, port: Number(url.port) || (url.protocol === "https:" ? 443 : 80), serverName: isIP(host) === 0 ? host : "" };
}

interface ProxyDial {
  readonly proxy: ProxyAddress;
  /** What the proxy of an `https:` address must prove itself with. */
  readonly context: SecureContext | undefined;
  readonly lookup: LookupFunction | undefined;
}

/** A connection to the proxy itself. */
export function dialProxy({ proxy, context, lookup }: ProxyDial): Socket {
  const url = new URL(proxy.url);
  const { host, port, serverName } = endpointOf(url);
  const tcp = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS, ...(lookup && { lookup }) };
  if (url.protocol === "http:") return connectTcp(tcp);
  return connectTls({ ...tcp, servername: serverName, ALPNProtocols: ["http/1.1"], ...(context && { secureContext: context }) });
}

/**
 * A way through a proxy (CONNECT, RFC 9110, section 9.3.6). It can be written to at once: what is written waits until the proxy has agreed.
 * Ends with a ProxyFailure when it does not.
 */
export class Tunnel extends Duplex {
  readonly #socket: Socket;
  readonly #proxy: string;
  #stands = false;
  #answer: Buffer = Buffer.alloc(0);
  #held: (() => void) | undefined;

  /** `target`: `host:port` of the upstream. */
  constructor(target: string, way: ProxyDial) {
    super();
    const { url, authorization } = way.proxy;
    this.#proxy = new URL(url).host;
    this.#socket = dialProxy(way);
    const credentials = authorization ? `proxy-authorization: ${authorization.reveal()}\r\n` : "";
    this.#socket
      .once(url.startsWith("https:") ? "secureConnect" : "connect", () =>
        this.#socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${credentials}\r\n`, "latin1"),
      )
      .on("data", (bytes: Buffer) => this.#data(bytes))
      .on("end", () => {
        if (this.#stands) this.push(null);
        else this.#fail("garbled", "no answer");
      })
      .on("error", (error: NodeJS.ErrnoException) => {
        if (this.#stands) this.destroy(error);
        else this.#fail("unreachable", error.code ?? "no connection");
      })
      .on("close", () => {
        if (this.#stands) this.destroy();
        else this.#fail("unreachable", "closed");
      });
  }

  override _read(): void {
    if (this.#stands) this.#socket.resume();
  }

  override _write(piece: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const send = (): void => void this.#socket.write(piece, done);
    if (this.#stands) send();
    else this.#held = send;
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #data(bytes: Buffer): void {
    if (this.#stands) return this.#pass(bytes);
    this.#answer = Buffer.concat([this.#answer, bytes]);
    const end = this.#answer.indexOf("\r\n\r\n");
    if (end < 0 && this.#answer.length <= MAX_ANSWER_BYTES) return;
    const status = STATUS_LINE.exec(this.#answer.toString("latin1", 0, this.#answer.indexOf("\r\n")))?.[1];
    if (end < 0 || end > MAX_ANSWER_BYTES || status === undefined) return this.#fail("garbled", "no HTTP");
    // 1xx says nothing yet; no proxy is known to send one, and waiting for the next would need a parser.
    if (!status.startsWith("2")) return this.#fail(status === "407" ? "credentials" : "refused", `HTTP ${status}`);
    const rest = this.#answer.subarray(end + 4);
    this.#answer = Buffer.alloc(0);
    this.#stands = true;
    this.#held?.();
    this.#held = undefined;
    if (rest.length > 0) this.#pass(rest);
  }

  #pass(bytes: Buffer): void {
    if (!this.push(bytes)) this.#socket.pause();
  }

  #fail(fault: ProxyFault, detail: string): void {
    this.destroy(new ProxyFailure(fault, this.#proxy, detail));
  }
}
