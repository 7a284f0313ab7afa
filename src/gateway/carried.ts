import { amend, CARRIED_MARK, type Call, type Item, type ReasoningItem } from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import type { Run } from "./run.ts";

/** Seals texts for one purpose and place; made by the house from the key of the data folder. */
export interface TextSeal {
  /** Letters, digits, `-`, `_` and `.` only. */
  seal(text: string, identity: readonly string[]): string;
  /** Undefined for whatever was not sealed here with this identity. */
  open(token: string, identity: readonly string[]): string | undefined;
  /** The same, after a look for a key that another process may have made just now. */
  openFresh(token: string, identity: readonly string[]): Promise<string | undefined>;
}

/**
 * Reasoning that only its provider can read, as a client of another language can send it back: sealed for this caller alone. Nothing is
 * stored for it, so that it also serves callers who want nothing kept. Undefined where the client has no place for it or asked for none.
 */
export function carriedText(seal: TextSeal | undefined, run: Run, call: Call, item: ReasoningItem): string | undefined {
  const scope = run.caller?.scope;
  const { dialect } = run.request;
  if (!seal || scope === undefined || item.origin?.provider === undefined || item.origin.dialect === dialect.id) return undefined;
  if (item.signature === undefined && item.encrypted === undefined) return undefined;
  if (!dialect.carriesReasoning?.(call)) return undefined;
  const { envelope: _envelope, carried: _carried, ...kept } = item;
  return CARRIED_MARK + seal.seal(JSON.stringify(kept), identity(scope));
}

/**
 * Puts reasoning that a client carried back in place, for the provider and language it came from. What belongs to another provider, to
 * another caller, or was changed on the way stays closed, and is left out by the language that meets it.
 */
export function openCarried(seal: TextSeal | undefined, run: Run, call: Call, dialect: string, provider: string): Call {
  const scope = run.caller?.scope;
  if (!seal || scope === undefined || !call.items.some((item) => item.type === "reasoning" && item.carried !== undefined)) return call;
  const items = call.items.map((item): Item => {
    if (item.type !== "reasoning" || item.carried === undefined) return item;
    const text = seal.open(item.carried.slice(CARRIED_MARK.length), identity(scope));
    const opened = text === undefined ? undefined : (parseJson(text) as ReasoningItem | undefined);
    return opened?.origin?.dialect === dialect && opened.origin.provider === provider ? opened : item;
  });
  return amend(call, { items });
}

function identity(scope: string): readonly string[] {
  return ["reasoning", scope];
}
