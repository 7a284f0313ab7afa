import { canonicalJson } from "../../kit/index.ts";
import { NO_PREVIOUS, sha256 } from "../../stores/audit.ts";
import { type Checkpoint, readCheckpoint } from "./checkpoint.ts";
import { type Entry, parseEntry } from "./entry.ts";
import { Frontier, leafHash } from "./merkle.ts";
import { isSignedBy, type VerifierKey } from "./signed-note.ts";

/**
 * `edited`: an entry is not what its hash or its successor says. `removed`: there is a gap. `reordered`: it stands elsewhere. `truncated`:
 * the end is missing. `rewritten`: the chain was made anew from there on, which only a checkpoint shows. `checkpoint`: one that this key
 * did not sign.
 */
export type FaultKind = "edited" | "removed" | "reordered" | "truncated" | "rewritten" | "checkpoint";

export interface Fault {
  readonly kind: FaultKind;
  /** Of the first entry at fault; where only a range is known, its beginning. */
  readonly sequence: number;
  /** The last entry that may be the first at fault, where a range is all that is known. */
  readonly through?: number;
  readonly message: string;
}

export interface Verdict {
  readonly ok: boolean;
  readonly entries: number;
  /** How many of them a checkpoint vouches for. */
  readonly signed: number;
  readonly checkpoints: number;
  readonly fault?: Fault;
}

/** How an entry is kept beside its text, where it is. */
export interface KeptAs {
  readonly sequence: number;
  readonly hash: string;
}

interface Signed {
  readonly roots: ReadonlyMap<number, readonly string[]>;
  readonly largest: number;
  readonly fault: Fault | undefined;
}

/** Reads a chain from its first entry to its last and says what is wrong first. Holds one entry at a time. */
export class ChainVerifier {
  readonly #signed: Signed;
  readonly #frontier = new Frontier();
  readonly #checkpoints: number;
  #count = 0;
  #previous = NO_PREVIOUS;
  /** Two neighbours contradict each other; the next entry says which of them was changed. */
  #quarrel: { readonly first: number; readonly secondHash: string } | undefined;
  #fault: Fault | undefined;
  #vouched = 0;

  /**
   * @param key undefined where nothing was ever signed: any checkpoint is at fault then
   * @param checkpoints signed notes: those of the chain itself, and any that were kept elsewhere
   */
  constructor(key: VerifierKey | undefined, checkpoints: readonly string[]) {
    this.#checkpoints = checkpoints.length;
    this.#signed = signedRoots(key, checkpoints);
  }

  add(text: string, kept?: KeptAs): void {
    const place = ++this.#count;
    const entry = parseEntry(text);
    if (this.#fault) return this.#learn(entry);
    if (this.#quarrel) return this.#settle(this.#quarrel, entry);
    const hash = sha256(text);
    const fault = entry ? faultOf(text, hash, entry, place, kept) : edited(place, "it is no entry");
    if (fault || !entry) {
      this.#fault = fault;
      return;
    }
    if (entry.previous !== this.#previous) {
      if (place === 1) this.#fault = edited(1, "it names an entry before the first");
      else this.#quarrel = { first: place - 1, secondHash: hash };
      return;
    }
    this.#previous = hash;
    this.#frontier.append(leafHash(text));
    this.#compare(place);
  }

  end(): Verdict {
    if (this.#quarrel) this.#fault = edited(this.#quarrel.first, "the entry behind it names another hash");
    const { largest } = this.#signed;
    if (!this.#fault && largest > this.#count) {
      this.#fault = {
        kind: "truncated",
        sequence: this.#count + 1,
        message: `A checkpoint vouches for ${largest} entries, and there are ${this.#count}: the end is missing from entry ${this.#count + 1} on.`,
      };
    }
    const unsigned = this.#signed.fault;
    const fault = unsigned && (!this.#fault || unsigned.sequence < this.#fault.sequence) ? unsigned : this.#fault;
    return { ok: !fault, entries: this.#count, signed: this.#vouched, checkpoints: this.#checkpoints, ...(fault && { fault }) };
  }

  /**
   * What follows the first fault can only say more of it: an entry that seemed gone may stand elsewhere, and the successor of the last
   * entry that a checkpoint speaks of knows whether that one was changed.
   */
  #learn(entry: Entry | undefined): void {
    const fault = this.#fault;
    if (fault?.through === this.#count - 1 && entry && entry.previous !== this.#previous)
      this.#fault = edited(fault.through, "the checkpoint of it and the entry behind it know another");
    if (fault?.kind === "removed" && entry?.sequence === fault.sequence) this.#fault = reordered(fault.sequence);
  }

  #settle({ first, secondHash }: { readonly first: number; readonly secondHash: string }, third: Entry | undefined): void {
    this.#quarrel = undefined;
    this.#fault =
      third?.previous === secondHash
        ? edited(first, "the entry behind it names another hash")
        : edited(first + 1, "neither neighbour knows it as it is");
  }

  #compare(size: number): void {
    const roots = this.#signed.roots.get(size);
    if (!roots) return;
    const root = this.#frontier.root().toString("hex");
    if (roots.every((one) => one === root)) {
      this.#vouched = size;
      return;
    }
    const first = this.#vouched + 1;
    this.#fault = {
      kind: "rewritten",
      sequence: first,
      through: size,
      message: `The checkpoint of ${size} entries is of another history: the first change is among the entries ${first} to ${size}.`,
    };
  }
}

/** What is wrong with an entry by itself, or with its place. */
function faultOf(text: string, hash: string, entry: Entry, place: number, kept: KeptAs | undefined): Fault | undefined {
  const at = kept?.sequence ?? entry.sequence;
  if (kept && kept.hash !== hash && kept.sequence === place) return edited(place, "it does not have the hash it was kept with");
  if (at > place) return { kind: "removed", sequence: place, message: `Entry ${place} is missing: entry ${at} stands in its place.` };
  if (at !== place || entry.sequence !== place) return reordered(place);
  if (canonicalJson(entry) !== text) return edited(place, "it is not written in the canonical form");
  return undefined;
}

function edited(sequence: number, why: string): Fault {
  return { kind: "edited", sequence, message: `Entry ${sequence} was changed after it was written: ${why}.` };
}

function reordered(sequence: number): Fault {
  return { kind: "reordered", sequence, message: `Entry ${sequence} is not in its place.` };
}

/** Roots by size; of one size there may be several, from several sources. */
function signedRoots(key: VerifierKey | undefined, notes: readonly string[]): Signed {
  const roots = new Map<number, string[]>();
  let largest = 0;
  let fault: Fault | undefined;
  for (const note of notes) {
    const checkpoint = readCheckpoint(note);
    if (!checkpoint || !key || checkpoint.origin !== key.name || !isSignedBy(checkpoint.note, key)) {
      const found = notSigned(checkpoint, key);
      if (!fault || found.sequence < fault.sequence) fault = found;
      continue;
    }
    roots.set(checkpoint.size, [...(roots.get(checkpoint.size) ?? []), checkpoint.root]);
    largest = Math.max(largest, checkpoint.size);
  }
  return { roots, largest, fault };
}

function notSigned(checkpoint: Checkpoint | undefined, key: VerifierKey | undefined): Fault {
  const sequence = Math.max(1, checkpoint?.size ?? 1);
  const what = checkpoint ? `The checkpoint of ${checkpoint.size} entries` : "A checkpoint";
  const by = key ? `is not signed by the key ${key.name}+${key.id}` : "is there, but no key that could have signed it";
  const why = checkpoint ? by : "is no signed checkpoint";
  return { kind: "checkpoint", sequence, message: `${what} ${why}.` };
}
