import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** A network between a gateway and its database that a test can make slow, dead, or lead elsewhere. */
export interface TestProxy {
  readonly port: number;
  /** What comes back takes so many milliseconds longer. */
  delay(ms: number): void;
  /** Nothing goes through any more, and nobody is told: a cable was pulled. */
  pull(): void;
  /** Back to normal. What was on its way when the cable was pulled is lost, with its connections. */
  mend(): void;
  /** From now on connections lead to this port; those there are end. */
  lead(port: number): void;
  close(): Promise<void>;
}

export async function startProxy(to: number): Promise<TestProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let [target, delayMs, pulled] = [to, 0, false];
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
    pairs.clear();
  };
  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    const pair = [client, upstream] as const;
    pairs.add(pair);
    const end = (): void => {
      if (pulled) return;
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) socket.setNoDelay(true).on("error", end).on("close", end);
    client.on("data", (bytes: Buffer) => void (pulled || upstream.write(bytes)));
    upstream.on("data", (bytes: Buffer) => {
      if (pulled) return;
      if (delayMs === 0) client.write(bytes);
      else setTimeout(() => void (pulled || client.destroyed || client.write(bytes)), delayMs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    delay: (ms) => void (delayMs = ms),
    pull: () => void (pulled = true),
    mend: () => {
      delayMs = 0;
      if (pulled) cut();
      pulled = false;
    },
    lead: (port) => {
      target = port;
      cut();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}
