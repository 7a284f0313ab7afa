import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What the transit engine of a key keeper answers, by its HTTP API: versions of a key that never leaves it. */
export interface TestTransit {
  readonly url: string;
  /** Paths asked for, oldest first. */
  readonly asked: readonly string[];
  readonly token: string;
  /** From now on a newer version of the key wraps; the older ones still unwrap. */
  rotate(): void;
  /** Answers everything with this status, until it is undefined again. */
  fail(status: number | undefined, errors?: readonly string[]): void;
  close(): Promise<void>;
}

const KEY = "gimbal";

export async function startTransit(): Promise<TestTransit> {
  const versions = [randomBytes(32)];
  const asked: string[] = [];
  const token = "hvs.test-token";
  let failing: { readonly status: number; readonly errors: readonly string[] } | undefined;

  function wrap(plaintext: string): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", versions.at(-1) ?? "", nonce);
    const body = Buffer.concat([cipher.update(Buffer.from(plaintext, "base64")), cipher.final()]);
    return `vault:v${versions.length}:${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64")}`;
  }
  function unwrap(ciphertext: string): string | undefined {
    const [, version = "", body = ""] = /^vault:v(\d+):(.+)$/.exec(ciphertext) ?? [];
    const key = versions[Number(version) - 1];
    const bytes = Buffer.from(body, "base64");
    if (!key || bytes.length < 28) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12));
    decipher.setAuthTag(bytes.subarray(12, 28));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("base64");
    } catch {
      return undefined;
    }
  }
  function answer(path: string, given: string | undefined, body: Record<string, unknown>): readonly [status: number, body: object] {
    if (failing) return [failing.status, { errors: failing.errors }];
    if (given !== token) return [403, { errors: ["permission denied"] }];
    if (path === `/v1/transit/encrypt/${KEY}`)
      return [200, { data: { ciphertext: wrap(String(body["plaintext"])), key_version: versions.length } }];
    if (path !== `/v1/transit/decrypt/${KEY}`) return [404, { errors: [] }];
    const plaintext = unwrap(String(body["ciphertext"]));
    return plaintext === undefined ? [400, { errors: ["invalid ciphertext: unable to decrypt"] }] : [200, { data: { plaintext } }];
  }

  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    request.on("end", () => {
      asked.push(request.url ?? "");
      const [status, said] = answer(
        request.url ?? "",
        request.headers["x-vault-token"]?.toString(),
        JSON.parse(text) as Record<string, unknown>,
      );
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(said));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    token,
    rotate: () => void versions.push(randomBytes(32)),
    fail: (status, errors = []) => (failing = status === undefined ? undefined : { status, errors }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
