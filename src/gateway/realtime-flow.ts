import type { Clock, Problem } from "../canon/index.ts";

const MIB = 1024 * 1024;

/** Bounds of every session. */
export const REALTIME_LIMITS = {
  /** Bytes of one message, either way; the largest that providers take is 15 MiB of sound. */
  messageBytes: 16 * MIB,
  /** Messages of a client in a second, and at once. Sound comes in pieces of 20 ms or more: fifty a second. */
  messagesPerSecond: 200,
  messageBurst: 400,
  /** Bytes on their way to a provider that takes them too slowly, or to a client. */
  bufferBytes: 4 * MIB,
  uploadBytes: 32 * MIB,
  /** Without a message either way. */
  idleMs: 300_000,
  totalMs: 3_600_000,
  /** How long a client may take nothing of what waits for it. */
  stalledMs: 30_000,
} as const;

/** How often a full socket is looked at again. */
const DRAIN_POLL_MS = 20;
const SECOND_MS = 1000;

interface Bounded {
  readonly buffered: number;
}
interface Pausable {
  pause(): void;
  resume(): void;
}

/** How much passes, and for how long: whatever is too much ends the session. */
export class Flow {
  readonly #clock: Clock;
  readonly #end: (problem: Problem) => void;
  #allowed: number = REALTIME_LIMITS.messageBurst;
  #countedAt: number;
  #lastAt: number;
  #stopIdle: () => void;
  readonly #stopTotal: () => void;
  #stopDrain: (() => void) | undefined;

  constructor(clock: Clock, end: (problem: Problem) => void) {
    this.#clock = clock;
    this.#end = end;
    this.#countedAt = this.#lastAt = clock.monotonic();
    this.#stopIdle = clock.after(REALTIME_LIMITS.idleMs, () => this.#idle());
    this.#stopTotal = clock.after(REALTIME_LIMITS.totalMs, () =>
      end({
        kind: "cancelled",
        code: "session_expired",
        message: `A session lasts ${REALTIME_LIMITS.totalMs / SECOND_MS} seconds at most.`,
      }),
    );
  }

  stop(): void {
    this.#stopIdle();
    this.#stopTotal();
    this.#stopDrain?.();
  }

  /** A message of the client. @param waiting bytes that its provider has not taken yet */
  arrived(characters: number, waiting: number): Problem | undefined {
    const { messageBytes, messagesPerSecond, messageBurst, uploadBytes } = REALTIME_LIMITS;
    const now = this.#clock.monotonic();
    this.#allowed = Math.min(messageBurst, this.#allowed + ((now - this.#countedAt) * messagesPerSecond) / SECOND_MS);
    this.#countedAt = this.#lastAt = now;
    if (characters > messageBytes) return { kind: "too_large", message: `A message of a session has ${messageBytes} bytes at most.` };
    if (this.#allowed < 1)
      return {
        kind: "rate_limited",
        code: "too_many_messages",
        message: `A session takes ${messagesPerSecond} messages a second at most.`,
      };
    this.#allowed--;
    if (waiting + characters > uploadBytes)
      return { kind: "rate_limited", code: "upload_too_fast", message: `More than ${uploadBytes} bytes wait for the provider.` };
    return undefined;
  }

  /** A message of the provider. */
  answered(): void {
    this.#lastAt = this.#clock.monotonic();
  }

  /** A slow client makes its provider wait. */
  relieve(client: Bounded, provider: Pausable): void {
    if (this.#stopDrain || client.buffered <= REALTIME_LIMITS.bufferBytes) return;
    provider.pause();
    let left = client.buffered;
    let movedAt = this.#clock.monotonic();
    const look = (): void => {
      this.#stopDrain = undefined;
      const now = this.#clock.monotonic();
      if (client.buffered <= REALTIME_LIMITS.bufferBytes) return provider.resume();
      if (client.buffered < left) [left, movedAt] = [client.buffered, now];
      if (now - movedAt > REALTIME_LIMITS.stalledMs)
        return this.#end({ kind: "cancelled", code: "client_stalled", message: "The client takes nothing of what waits for it." });
      this.#stopDrain = this.#clock.after(DRAIN_POLL_MS, look);
    };
    this.#stopDrain = this.#clock.after(DRAIN_POLL_MS, look);
  }

  #idle(): void {
    const quiet = this.#clock.monotonic() - this.#lastAt;
    if (quiet < REALTIME_LIMITS.idleMs) {
      this.#stopIdle = this.#clock.after(REALTIME_LIMITS.idleMs - quiet, () => this.#idle());
      return;
    }
    this.#end({ kind: "cancelled", code: "session_idle", message: `Nothing was said for ${REALTIME_LIMITS.idleMs / SECOND_MS} seconds.` });
  }
}
