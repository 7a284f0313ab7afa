import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import type { Secret } from "../canon/index.ts";

/** Keys that sign and are never sent. */
export interface AccessKey {
  readonly id: Secret;
  readonly secret: Secret;
  /** Goes along where the keys are temporary. */
  readonly sessionToken?: Secret | undefined;
}

export interface SigningPlace {
  readonly region: string;
  readonly service: string;
  /** With the port, where it is not the protocol's own. */
  readonly host: string;
}

type Bytes = ArrayBuffer | ArrayBufferView | string;

/** SHA-256 by the runtime, in the shape that the signer takes: images of many megabytes are hashed here. */
class Sha256 {
  readonly #key: Bytes | undefined;
  #hash;
  constructor(key?: Bytes) {
    this.#key = key;
    this.#hash = this.#begun();
  }
  update(bytes: Bytes): void {
    this.#hash.update(viewOf(bytes));
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
  reset(): void {
    this.#hash = this.#begun();
  }
  #begun() {
    return this.#key === undefined ? createHash("sha256") : createHmac("sha256", viewOf(this.#key));
  }
}

function viewOf(bytes: Bytes): Uint8Array | string {
  if (typeof bytes === "string") return bytes;
  return bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Signs requests. Source: "AWS Signature Version 4 for API requests". */
export class RequestSigner {
  readonly #place: SigningPlace;
  readonly #signer: SignatureV4;

  constructor(place: SigningPlace, { id, secret, sessionToken }: AccessKey) {
    this.#place = place;
    this.#signer = new SignatureV4({
      service: place.service,
      region: place.region,
      sha256: Sha256,
      applyChecksum: false,
      credentials: {
        accessKeyId: id.reveal(),
        secretAccessKey: secret.reveal(),
        ...(sessionToken && { sessionToken: sessionToken.reveal() }),
      },
    });
  }

  /**
   * The headers that prove a request. `path` is as it is sent.
   *
   * @param at milliseconds since 1970, by the service's clock
   */
  async headers(
    request: { readonly method: string; readonly path: string; readonly body: string | Buffer },
    at: number,
  ): Promise<Readonly<Record<string, string>>> {
    const { host } = this.#place;
    const [path = "/", query = ""] = request.path.split("?");
    const signed = await this.#signer.sign(
      {
        method: request.method,
        protocol: "https:",
        hostname: host,
        path,
        query: Object.fromEntries(new URLSearchParams(query)),
        headers: { host },
        body: request.body,
      },
      { signingDate: new Date(at) },
    );
    const { host: _host, ...headers } = signed.headers;
    return headers;
  }
}
