import type { Problem, Signal } from "../../canon/index.ts";
import type { Command, JournalWrite, ReadName, Writes } from "../backend.ts";
import type { PackedBatch } from "../pack.ts";

/**
 * Messages both ways between two processes, in order, as structured clones (Node's `serialization: "advanced"`): they hold bytes, and cost
 * less than JSON.
 */
export interface Channel {
  send(message: unknown): void;
  /** Called with every message of the other side; messages of others on the same channel may come too. */
  onMessage(listener: (message: unknown) => void): void;
  /** Called once when no message can come any more. */
  onClose(listener: () => void): void;
}

/** The part of a Node process handle (`process`, a cluster worker, a forked child) that a channel needs. */
interface IpcPeer {
  send?(message: never, callback: (error: Error | null) => void): unknown;
  on(event: "message", listener: (message: unknown) => void): unknown;
  once(event: "disconnect" | "exit", listener: () => void): unknown;
}

/** A channel over Node's own inter-process messages. */
export function ipcChannel(peer: IpcPeer): Channel {
  return {
    // A peer that is gone announces itself by `disconnect`; what was on its way to it is of no use to anyone then.
    send: (message) => void peer.send?.(message as never, () => {}),
    onMessage: (listener) => void peer.on("message", listener),
    onClose: (listener) => {
      let isTold = false;
      const tell = (): void => {
        if (!isTold) listener();
        isTold = true;
      };
      // A worker that is killed while it is being written to may exit without ever having disconnected.
      peer.once("disconnect", tell);
      peer.once("exit", tell);
    },
  };
}

/** Tells the store's messages from others on the channel. */
export const TAG = "gimbal.stores";

interface Tagged {
  readonly tag: typeof TAG;
}

/**
 * To the process that has the record: writes and reads since the last message, each with the sender's own number. Records of calls begun
 * come first, then rows, then the rest: a row may be there before what was queued ahead of it, never behind its own call's beginning.
 */
export interface ToHost extends Tagged {
  readonly hello?: true;
  readonly opens?: readonly Writes["open"]["args"][];
  /** Under one number, and packed as the writer's thread takes them: the process between only passes them on. */
  readonly rows?: readonly [id: number, packed: PackedBatch];
  readonly writes?: readonly (readonly [id: number, command: Command])[];
  readonly reads?: readonly (readonly [id: number, name: ReadName, args: readonly unknown[]])[];
  readonly journal?: readonly [id: number, write: JournalWrite];
  /** All is to be sealed under the newest key. */
  readonly rekey?: number;
  /** For all other workers. */
  readonly signal?: Signal;
}

/** Number, then the value or the problem. */
export type Answered = readonly [id: number, value: unknown, problem?: Problem];

/** From it: answers, and its state whenever that changed. */
export interface FromHost extends Tagged {
  readonly state?: { readonly generation: number; readonly failure: string | null };
  readonly answers?: readonly Answered[];
  readonly signal?: Signal;
}

export function isTagged(message: unknown): message is Tagged {
  return typeof message === "object" && message !== null && "tag" in message && message.tag === TAG;
}
