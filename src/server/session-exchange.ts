import type { PeerRequest, SessionPeers } from "../tools/index.ts";
import type { Channel } from "../stores/index.ts";

/** Tells these messages from others on the channel. */
const TAG = "gimbal.sessions";
/** Bytes of one answer that may be on their way; the process that gives it waits for the other to take them. */
const WINDOW_BYTES = 512 * 1024;
/** Requests that one process may have at the others. */
const MOST_ASKED = 10_000;

/** What goes from one worker to another; the primary only passes it on. `id`: the asker's own number of the request. */
interface Message {
  readonly tag: typeof TAG;
  readonly to: string;
  /** Filled in by the primary. */
  readonly from: string;
  readonly id: number;
  readonly what:
    | { readonly kind: "ask"; readonly request: PeerRequest }
    /** The asker's client left. */
    | { readonly kind: "leave" }
    /** The asker has passed so many bytes on. */
    | { readonly kind: "taken"; readonly bytes: number }
    | { readonly kind: "head"; readonly status: number; readonly headers: readonly (readonly [string, string])[] }
    | { readonly kind: "bytes"; readonly bytes: Uint8Array }
    | { readonly kind: "end" }
    /** It broke off, or the process is gone. */
    | { readonly kind: "lost" };
}
type What = Message["what"];

function isMessage(message: unknown): message is Message {
  return typeof message === "object" && message !== null && "tag" in message && message.tag === TAG;
}

/** An answer that is being given to another process. */
interface Giving {
  readonly left: AbortController;
  /** Bytes that may still be sent. */
  room: number;
  go: () => void;
}

/** A worker's end. `name`: as the primary knows this worker. */
export function sessionPeers(channel: Channel, name: string): SessionPeers {
  const taking = new Map<number, Taking>();
  const giving = new Map<string, Giving>();
  let number = 0;
  let answer: Parameters<SessionPeers["serve"]>[0] | undefined;
  const send = (to: string, id: number, what: What): void => channel.send({ tag: TAG, to, from: name, id, what } satisfies Message);
  channel.onMessage((message) => {
    if (!isMessage(message)) return;
    const { from, id, what } = message;
    const key = `${from}:${id}`;
    switch (what.kind) {
      case "ask":
        if (answer) void give(answer, what.request, giving, key, (said) => send(from, id, said));
        else send(from, id, { kind: "lost" });
        return;
      case "leave":
        return giving.get(key)?.left.abort(new Error("The client left."));
      case "taken": {
        const one = giving.get(key);
        if (one) one.room += what.bytes;
        return one?.go();
      }
      default:
        return taking.get(id)?.heard(what);
    }
  });
  return {
    name,
    serve: (given) => void (answer = given),
    ask(to, request, signal) {
      if (taking.size >= MOST_ASKED) return Promise.resolve(undefined);
      const id = ++number;
      return new Promise((resolve) => {
        taking.set(
          id,
          new Taking(
            resolve,
            (what) => send(to, id, what),
            () => taking.delete(id),
            signal,
          ),
        );
        send(to, id, { kind: "ask", request });
      });
    },
  };
}

/** Sends an answer as it comes, no faster than the asker takes it. */
async function give(
  answer: Parameters<SessionPeers["serve"]>[0],
  request: PeerRequest,
  giving: Map<string, Giving>,
  key: string,
  send: (what: What) => void,
): Promise<void> {
  const one: Giving = { left: new AbortController(), room: WINDOW_BYTES, go: () => {} };
  giving.set(key, one);
  const { signal } = one.left;
  try {
    const response = await answer(request, signal);
    send({ kind: "head", status: response.status, headers: [...response.headers] });
    const reader = response.body?.getReader();
    signal.addEventListener("abort", () => {
      one.go();
      void reader?.cancel().catch(() => {});
    });
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true as const, value: undefined };
      if (done || signal.aborted) break;
      one.room -= value.byteLength;
      send({ kind: "bytes", bytes: value });
      while (one.room <= 0 && !signal.aborted) await new Promise<void>((resolve) => (one.go = resolve));
    }
    send({ kind: "end" });
  } catch {
    send({ kind: "lost" });
  } finally {
    giving.delete(key);
  }
}

/** An answer that another process gives. */
class Taking {
  readonly #resolve: (response: Response | undefined) => void;
  readonly #send: (what: What) => void;
  readonly #over: () => void;
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(resolve: (response: Response | undefined) => void, send: (what: What) => void, over: () => void, signal: AbortSignal) {
    this.#resolve = resolve;
    this.#send = send;
    this.#over = over;
    signal.addEventListener("abort", () => this.#leave(), { once: true });
  }

  heard(what: What): void {
    switch (what.kind) {
      case "head":
        return this.#begin(what.status, what.headers);
      case "bytes":
        return this.#body?.enqueue(what.bytes);
      case "end":
        this.#body?.close();
        return this.#over();
      case "lost":
        this.#body?.error(new Error("The process that answered is gone."));
        this.#resolve(undefined);
        return this.#over();
      case "ask":
      case "leave":
      case "taken":
        return;
    }
  }

  #begin(status: number, headers: readonly (readonly [string, string])[]): void {
    const isEmpty = status === 202 || status === 204 || status === 304;
    const body = new ReadableStream<Uint8Array>(
      { start: (controller) => void (this.#body = controller), cancel: () => this.#leave() },
      { highWaterMark: 0 },
    );
    const counted = body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (bytes, out) => {
          out.enqueue(bytes);
          this.#send({ kind: "taken", bytes: bytes.byteLength });
        },
      }),
    );
    this.#resolve(new Response(isEmpty ? null : counted, { status, headers: headers.map(([name, value]) => [name, value]) }));
  }

  #leave(): void {
    this.#send({ kind: "leave" });
    this.#over();
  }
}

/** The primary's end: it passes on what workers say to each other. */
export class SessionHost {
  readonly #members = new Map<string, Channel>();
  /** Who waits for whom, by the asker's name and number. */
  readonly #asked = new Map<string, { readonly asker: string; readonly id: number; readonly owner: string }>();

  /** Serves one worker until its channel closes. Call it as soon as the worker is forked. */
  attach(name: string, channel: Channel): void {
    this.#members.set(name, channel);
    channel.onMessage((message) => {
      if (isMessage(message)) this.#pass({ ...message, from: name });
    });
    channel.onClose(() => {
      this.#members.delete(name);
      for (const [key, { asker, id, owner }] of this.#asked) {
        if (owner === name)
          this.#members.get(asker)?.send({ tag: TAG, to: asker, from: name, id, what: { kind: "lost" } } satisfies Message);
        if (asker === name)
          this.#members.get(owner)?.send({ tag: TAG, to: owner, from: name, id, what: { kind: "leave" } } satisfies Message);
        if (owner === name || asker === name) this.#asked.delete(key);
      }
    });
  }

  #pass(message: Message): void {
    const { to, from, id, what } = message;
    const owner = this.#members.get(to);
    const { kind } = what;
    if (kind === "ask") {
      if (!owner) return this.#lost(from, id);
      this.#asked.set(`${from}:${id}`, { asker: from, id, owner: to });
    }
    if (kind === "leave") this.#asked.delete(`${from}:${id}`);
    if (kind === "end" || kind === "lost") this.#asked.delete(`${to}:${id}`);
    owner?.send(message);
  }

  #lost(asker: string, id: number): void {
    this.#members.get(asker)?.send({ tag: TAG, to: asker, from: "", id, what: { kind: "lost" } } satisfies Message);
  }
}
