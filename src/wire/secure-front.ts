import type { Socket } from "node:net";
import { createServer } from "node:tls";
import type { Server, TLSSocket } from "node:tls";
import type { Clock } from "../canon/index.ts";
import { plainAnswer } from "./answer-head.ts";
import { contextOf, pem } from "./secure.ts";
import type { ServerTls } from "./types.ts";

/** A handshake that takes longer is given up, and so is a connection that does not begin one. */
const HANDSHAKE_MS = 10_000;
/** How often the files of certificate and key are looked at. */
const RENEW_MS = 10_000;
/** First byte of a TLS connection: the content type of a handshake (RFC 8446, section 5.1). */
const HANDSHAKE = 0x16;
const LINGER_MS = 1_000;
const NOT_TLS = plainAnswer(400, "invalid_request", "This port speaks TLS: begin the address with https://.");

/** What TLS needs to know of the front end. */
export interface SecureOwner {
  readonly clock: Clock;
  readonly headTimeoutMs: number;
  /** The handshake is over; `alpn` is `h2` or `http/1.1`. */
  secured(socket: TLSSocket, alpn: "h2" | "http/1.1"): void;
  /** For the operator: a new certificate that cannot be used. */
  report(line: string): void;
}

interface Loaded {
  readonly ca?: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * The TLS of a front end. Certificates are renewed for the connections to come, while those that stand go on as they are. Throws
 * ProblemError (invalid_request) for certificates that cannot be used.
 */
export class SecureFront {
  readonly #owner: SecureOwner;
  #tls: ServerTls;
  #loaded: Loaded;
  #server: Server;
  #stopRenewing: (() => void) | undefined;

  constructor(tls: ServerTls, owner: SecureOwner) {
    this.#owner = owner;
    this.#tls = tls;
    this.#loaded = load(tls);
    this.#server = this.#serverOf(tls, this.#loaded);
    this.#renewLater();
  }

  /** @throws ProblemError invalid_request; then what was before goes on */
  configure(tls: ServerTls): void {
    const loaded = load(tls);
    this.#server = this.#serverOf(tls, loaded);
    this.#tls = tls;
    this.#loaded = loaded;
  }

  /** A connection whose client has yet to say in which language it speaks. */
  take(socket: Socket): void {
    const stop = this.#owner.clock.after(this.#handshakeMs, () => void socket.destroy());
    const gone = (): void => void socket.destroy();
    socket.on("close", stop).on("end", gone);
    socket.once("data", (bytes: Buffer) => {
      // From here on the server below counts.
      stop();
      socket.off("close", stop).off("end", gone);
      if (bytes[0] !== HANDSHAKE) return this.#refuse(socket);
      socket.pause();
      socket.unshift(bytes);
      this.#server.emit("connection", socket);
    });
  }

  get #handshakeMs(): number {
    return Math.min(HANDSHAKE_MS, this.#owner.headTimeoutMs);
  }

  close(): void {
    this.#stopRenewing?.();
  }

  /** Reads the files again; certificates that cannot be used are told of and change nothing. */
  renew(): void {
    try {
      const next = load(this.#tls);
      if (next.cert === this.#loaded.cert && next.key === this.#loaded.key && next.ca === this.#loaded.ca) return;
      this.#server = this.#serverOf(this.#tls, next);
      this.#loaded = next;
      this.#owner.report("serve.tls: the certificate was renewed; new connections get it");
    } catch (error) {
      this.#owner.report(`serve.tls: the certificate stays as it is: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #renewLater(): void {
    this.#stopRenewing = this.#owner.clock.after(RENEW_MS, () => {
      this.renew();
      this.#renewLater();
    });
  }

  #refuse(socket: Socket): void {
    const stop = this.#owner.clock.after(LINGER_MS, () => socket.destroy());
    socket.on("close", stop).resume().end(NOT_TLS);
  }

  /** It never listens: each connection is given to it. */
  #serverOf({ clientAuth, passphrase }: ServerTls, loaded: Loaded): Server {
    // Says what is wrong in our words.
    contextOf({ ...loaded, ...(passphrase && { passphrase: passphrase.reveal() }) });
    const server = createServer({
      ...loaded,
      ...(passphrase && { passphrase: passphrase.reveal() }),
      minVersion: "TLSv1.2",
      handshakeTimeout: this.#handshakeMs,
      ALPNProtocols: ["h2", "http/1.1"],
      requestCert: clientAuth !== "none",
      rejectUnauthorized: clientAuth === "require",
    });
    server.on("secureConnection", (socket) => {
      // Who shows a certificate must show a good one, also where none is asked for.
      if (clientAuth === "request" && !socket.authorized && Object.keys(socket.getPeerCertificate()).length > 0)
        return void socket.destroy();
      this.#owner.secured(socket, socket.alpnProtocol === "h2" ? "h2" : "http/1.1");
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  }
}

function load({ ca, cert, key }: ServerTls): Loaded {
  return {
    cert: pem("serve.tls.cert", cert),
    key: pem("serve.tls.key", key.reveal()),
    ...(ca !== undefined && { ca: pem("serve.tls.ca", ca) }),
  };
}
