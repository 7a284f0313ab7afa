import type { ClientOptions, ClientRequest, ClientSink, HttpClient } from "../../src/wire/types.ts";

/** What a fake server does with a request: it plays the sink itself, after `open` has returned. */
export type FakeServer = (request: ClientRequest, sink: ClientSink, options: ClientOptions) => void;

export interface FakeWire {
  readonly connect: (options: ClientOptions) => HttpClient;
  readonly connected: ClientOptions[];
  readonly requests: ClientRequest[];
  cancelled: number;
  closed: number;
}

export function fakeWire(server: FakeServer): FakeWire {
  const wire: FakeWire = {
    connected: [],
    requests: [],
    cancelled: 0,
    closed: 0,
    connect(options) {
      wire.connected.push(options);
      return {
        open(request, sink) {
          wire.requests.push(request);
          let over = false;
          queueMicrotask(() => {
            if (!over) server(request, sink, options);
          });
          return {
            cancel() {
              over = true;
              wire.cancelled++;
            },
            resume() {},
          };
        },
        close() {
          wire.closed++;
          return Promise.resolve();
        },
      };
    },
  };
  return wire;
}

export function answering(status: number, body: string, headers: Readonly<Record<string, string>> = {}): FakeServer {
  return (_request, sink) => {
    sink.onHead(status, headers);
    if (body) sink.onData(Buffer.from(body));
    sink.onEnd();
  };
}
