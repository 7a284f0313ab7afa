import { AsyncLocalStorage } from "node:async_hooks";
import type { AuditCheckpoint, AuditEvent, AuditLink, AuditNote, AuditStore, Clock, JsonObject, Randomness } from "../../canon/index.ts";
import { canonicalJson } from "../../kit/index.ts";
import { sha256 } from "../../stores/audit.ts";
import type { AuditOptions } from "./options.ts";
import { checkpointNow } from "./signing.ts";
import type { SignerKey } from "./signed-note.ts";

/** Letters of an actor, an action or a subject. */
const NAME_LETTERS = 400;
/** Letters of an entry's details; larger ones are kept as their hash. */
const DETAIL_LETTERS = 8000;
/** Notes of reads that wait for a record that cannot be written; more are counted. */
const WAITING_NOTES = 1000;
const MS_PER_MINUTE = 60_000;
/** How often it is looked whether a checkpoint is due, and whether notes that wait can be written. */
const LOOK_MS = 10_000;

/** Who acts, and in which request. */
export interface Acting {
  readonly actor: string;
  readonly requestId?: string;
  /** By what right, as told in the details of each note. */
  readonly role?: string;
}

interface Act extends Acting {
  notes: number;
}

export interface AuditDeps {
  readonly store: AuditStore;
  readonly clock: Clock;
  readonly randomness: Randomness;
  /** Who acts where nobody else is named. Default: `gateway`. */
  readonly actor?: string;
  /** Opens the key that signs, when it is first needed. */
  readonly key: () => SignerKey;
  /** When checkpoints are signed unasked; undefined: never. */
  readonly options: Pick<AuditOptions, "checkpointEntries" | "checkpointMinutes"> | undefined;
  /** One line for the operator. */
  readonly log: (line: string) => void;
}

/** `sha256:` and the hash of a value's canonical JSON: how payloads are named. */
export function hashOf(value: unknown): string {
  return `sha256:${sha256(canonicalJson(value))}`;
}

/**
 * The audit of one process. Whoever changes something hands a note to the store with the change (`draft`), or says it before the change
 * is acknowledged (`note`); a change whose note cannot be kept must be refused.
 */
export class Audit {
  readonly #deps: AuditDeps;
  readonly #acts = new AsyncLocalStorage<Act>();
  readonly #waiting: AuditNote[] = [];
  #dropped = 0;
  #signer: SignerKey | undefined;
  #sinceCheckpoint = 0;
  #checkpointedAt: number;
  #signing: Promise<AuditCheckpoint> | undefined;
  #cancelLook = (): void => {};
  #closed = false;

  constructor(deps: AuditDeps) {
    this.#deps = deps;
    this.#checkpointedAt = deps.clock.monotonic();
    this.#lookLater();
  }

  /** Everything noted within `work` is noted as done by this actor in this request. Says how many notes that were. */
  async as<T>(who: Acting, work: () => Promise<T>): Promise<{ readonly result: T; readonly notes: number }> {
    const act: Act = { ...who, notes: 0 };
    const result = await this.#acts.run(act, work);
    return { result, notes: act.notes };
  }

  /** Keeps a note. Resolves when it is durable. @throws ProblemError storage_unavailable: what it tells of must be refused */
  async note(event: AuditEvent): Promise<AuditLink> {
    const note = this.draft(event);
    const link = await this.#deps.store.append(note);
    return link;
  }

  /** A note for a store that keeps it with the change. */
  draft({ action, subject, outcome = "done", details: told, actor }: AuditEvent): AuditNote {
    const act = this.#acts.getStore();
    const details = act?.role === undefined || actor !== undefined ? told : { ...told, role: act.role };
    if (act) act.notes++;
    this.#counted();
    return {
      id: this.#deps.randomness.id("aud_"),
      at: this.#deps.clock.now(),
      actor: clipped(actor ?? act?.actor ?? this.#deps.actor ?? "gateway"),
      action: clipped(action),
      subject: clipped(subject),
      outcome,
      ...(act?.requestId !== undefined && { requestId: act.requestId }),
      ...(details && { details: bounded(details) }),
    };
  }

  /**
   * Of what goes on while nothing can be written, such as reading: the note is kept now, else as soon as the record can be written again.
   */
  async noteRead(event: AuditEvent): Promise<void> {
    const note = this.draft(event);
    try {
      await this.#deps.store.append(note);
    } catch {
      if (this.#waiting.length < WAITING_NOTES) this.#waiting.push(note);
      else if (this.#dropped++ === 0)
        this.#deps.log(`The audit cannot be written, and ${WAITING_NOTES} notes wait for it: further ones are counted.`);
    }
  }

  get store(): AuditStore {
    return this.#deps.store;
  }

  get key(): SignerKey {
    return (this.#signer ??= this.#deps.key());
  }

  /** Signs what the log holds now. @throws ProblemError conflict (the chain is broken), storage_unavailable */
  checkpoint(): Promise<AuditCheckpoint> {
    // What is under way may have begun before the newest entry.
    const before = this.#signing?.catch(() => {}) ?? Promise.resolve();
    const signing = before.then(() => checkpointNow(this.#deps.store, this.key, this.#deps.clock.now()));
    this.#signing = signing;
    this.#sinceCheckpoint = 0;
    this.#checkpointedAt = this.#deps.clock.monotonic();
    return signing;
  }

  /** A last checkpoint of what is new; a record that cannot be written any more is no reason not to stop. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLook();
    await this.#writeWaiting();
    if (this.#deps.options && this.#sinceCheckpoint > 0) await this.#tryCheckpoint();
  }

  #counted(): void {
    if (++this.#sinceCheckpoint === this.#deps.options?.checkpointEntries) this.#deps.clock.after(0, () => void this.#tryCheckpoint());
  }

  async #tryCheckpoint(): Promise<void> {
    await this.checkpoint().catch((error: unknown) =>
      this.#deps.log(`No checkpoint of the audit was signed: ${error instanceof Error ? error.message : String(error)}`),
    );
  }

  #lookLater(): void {
    this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => {
      void this.#look().finally(() => {
        if (!this.#closed) this.#lookLater();
      });
    });
  }

  async #look(): Promise<void> {
    await this.#writeWaiting();
    const { clock, options } = this.#deps;
    if (options && clock.monotonic() - this.#checkpointedAt >= options.checkpointMinutes * MS_PER_MINUTE) await this.#tryCheckpoint();
  }

  async #writeWaiting(): Promise<void> {
    try {
      for (let note = this.#waiting[0]; note; note = this.#waiting[0]) {
        await this.#deps.store.append(note);
        this.#waiting.shift();
      }
      if (this.#dropped === 0) return;
      const lost = this.#dropped;
      await this.note({ action: "audit.lost", subject: "notes of reads", outcome: "failed", details: { notes: lost } });
      this.#dropped -= lost;
    } catch {
      // The record still cannot be written; they go on waiting.
    }
  }
}

function clipped(text: string): string {
  return text.length <= NAME_LETTERS ? text : `${text.slice(0, NAME_LETTERS)}…`;
}

function bounded(details: JsonObject): JsonObject {
  const text = canonicalJson(details);
  return text.length <= DETAIL_LETTERS ? details : { hash: `sha256:${sha256(text)}`, letters: text.length };
}
