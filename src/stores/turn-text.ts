import type { Envelope, Item, KeptTurn } from "../canon/index.ts";

/** What of a turn is sealed; what the store must look at (scope, id, predecessor, times) has columns of its own. */
type TurnContent = Pick<KeptTurn, "dialect" | "input" | "output" | "answer" | "fingerprint" | "promise">;
export type TurnHead = Pick<KeptTurn, "scope" | "id" | "createdAt" | "expiresAt"> & { readonly previousId?: string | undefined };

interface Packed {
  readonly envelopes: readonly Envelope[];
}
type PackedItem = Omit<Item, "envelope"> & { readonly envelope?: number };
interface PackedTurn extends Packed, Omit<TurnContent, "input" | "output"> {
  readonly input: readonly PackedItem[];
  readonly output: readonly PackedItem[];
}
interface PackedItems extends Packed {
  readonly items: readonly PackedItem[];
}

/**
 * Items that share one envelope *object* belong to one message, and JSON would give each its own copy. So envelopes are listed once and
 * items name them by index.
 */
class Envelopes {
  readonly list: Envelope[] = [];
  readonly #index = new Map<Envelope, number>();

  pack(items: readonly Item[]): PackedItem[] {
    return items.map((item) => {
      const { envelope, ...rest } = item;
      if (!envelope) return rest;
      let index = this.#index.get(envelope);
      if (index === undefined) {
        index = this.list.push(envelope) - 1;
        this.#index.set(envelope, index);
      }
      return { ...rest, envelope: index };
    });
  }
}

function unpack(items: readonly PackedItem[], envelopes: readonly Envelope[]): Item[] {
  return items.map((packed) => {
    const { envelope: index, ...rest } = packed;
    const envelope = index === undefined ? undefined : envelopes[index];
    return { ...rest, ...(envelope && { envelope }) } as Item;
  });
}

/** The sealed part of a turn as JSON text. */
export function packTurn(turn: TurnContent): string {
  const envelopes = new Envelopes();
  const input = envelopes.pack(turn.input);
  const output = envelopes.pack(turn.output);
  const packed: PackedTurn = {
    envelopes: envelopes.list,
    dialect: turn.dialect,
    input,
    output,
    answer: turn.answer,
    ...(turn.fingerprint !== undefined && { fingerprint: turn.fingerprint }),
    ...(turn.promise && { promise: turn.promise }),
  };
  return JSON.stringify(packed);
}

/** `text` must come from `packTurn`. */
export function unpackTurn(head: TurnHead, text: string): KeptTurn {
  const { envelopes, input, output, ...rest } = JSON.parse(text) as PackedTurn;
  const { previousId, ...ids } = head;
  return {
    ...ids,
    ...(previousId !== undefined && { previousId }),
    ...rest,
    input: unpack(input, envelopes),
    output: unpack(output, envelopes),
  };
}

export function packItems(items: readonly Item[]): string {
  const envelopes = new Envelopes();
  const packed: PackedItems = { items: envelopes.pack(items), envelopes: envelopes.list };
  return JSON.stringify(packed);
}

/** `text` must come from `packItems`. */
export function unpackItems(text: string): Item[] {
  const { items, envelopes } = JSON.parse(text) as PackedItems;
  return unpack(items, envelopes);
}
