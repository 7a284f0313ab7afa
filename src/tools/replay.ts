import type { EventStore, JSONRPCMessage } from "@modelcontextprotocol/server";

/** Bytes and events of one session that can be sent again, and bytes of all sessions together; the oldest make room. */
const SESSION_BYTES = 8 * 1024 * 1024;
const SESSION_EVENTS = 2000;
const ALL_BYTES = 64 * 1024 * 1024;
const DIVIDER = "~";

interface Kept {
  readonly stream: string;
  readonly message: JSONRPCMessage;
  readonly bytes: number;
  readonly of: SessionReplay;
}

/** Everything that is kept for clients that come back, oldest first. */
export class Replay {
  /** By a number of its own; the map keeps the order. */
  readonly #events = new Map<number, Kept>();
  readonly #most: number;
  #bytes = 0;
  #number = 0;

  /** `most`: bytes of all sessions together. */
  constructor(most: number = ALL_BYTES) {
    this.#most = most;
  }

  get bytes(): number {
    return this.#bytes;
  }

  session(): SessionReplay {
    return new SessionReplay(this);
  }

  /** The number of what was added, which may be gone at once when it is too long. */
  add(event: Kept): number {
    const number = ++this.#number;
    this.#events.set(number, event);
    this.#bytes += event.bytes;
    while (this.#bytes > this.#most) {
      const [oldest] = this.#events;
      if (!oldest) break;
      oldest[1].of.forget(oldest[0]);
    }
    return number;
  }

  get(number: number): Kept | undefined {
    return this.#events.get(number);
  }

  remove(number: number): void {
    this.#bytes -= this.#events.get(number)?.bytes ?? 0;
    this.#events.delete(number);
  }
}

/** What one session sent, for a client that names the last event it saw (`Last-Event-ID`). */
export class SessionReplay implements EventStore {
  readonly #all: Replay;
  /** Oldest first. */
  readonly #numbers = new Set<number>();
  /** The newest event of each stream that is gone: whoever saw less than that has missed something. */
  readonly #gone = new Map<string, number>();
  #bytes = 0;

  constructor(all: Replay) {
    this.#all = all;
  }

  storeEvent(stream: string, message: JSONRPCMessage): Promise<string> {
    const bytes = Buffer.byteLength(JSON.stringify(message)) + stream.length;
    const number = this.#all.add({ stream, message, bytes, of: this });
    if (this.#all.get(number)) {
      this.#numbers.add(number);
      this.#bytes += bytes;
      for (const oldest of this.#numbers) {
        if (this.#numbers.size <= SESSION_EVENTS && this.#bytes <= SESSION_BYTES) break;
        this.forget(oldest);
      }
    }
    return Promise.resolve(`${stream}${DIVIDER}${number}`);
  }

  /** Undefined: the event was never sent here, or something that came after it is kept no longer. */
  getStreamIdForEventId(id: string): Promise<string | undefined> {
    const { stream, number } = partsOf(id);
    const isKnown = [...this.#numbers].some((one) => this.#all.get(one)?.stream === stream) || this.#gone.has(stream);
    return Promise.resolve(isKnown && number >= (this.#gone.get(stream) ?? 0) ? stream : undefined);
  }

  async replayEventsAfter(id: string, { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> }): Promise<string> {
    const { stream, number: last } = partsOf(id);
    for (const number of this.#numbers) {
      const event = this.#all.get(number);
      // What only opened a stream says nothing.
      if (number > last && event?.stream === stream && Object.keys(event.message).length > 0)
        await send(`${stream}${DIVIDER}${number}`, event.message);
    }
    return stream;
  }

  forget(number: number): void {
    const event = this.#all.get(number);
    if (!event) return;
    if (this.#numbers.delete(number)) this.#bytes -= event.bytes;
    if (this.#gone.size >= SESSION_EVENTS) this.#gone.delete(this.#gone.keys().next().value ?? "");
    this.#gone.delete(event.stream);
    this.#gone.set(event.stream, number);
    this.#all.remove(number);
  }

  clear(): void {
    for (const number of this.#numbers) this.forget(number);
    this.#gone.clear();
  }
}

function partsOf(id: string): { readonly stream: string; readonly number: number } {
  const at = id.lastIndexOf(DIVIDER);
  const number = Number(id.slice(at + 1));
  return at > 0 && Number.isSafeInteger(number) ? { stream: id.slice(0, at), number } : { stream: "", number: Number.NaN };
}
