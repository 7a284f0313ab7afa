import type { Stores } from "../canon/index.ts";

/**
 * What a node that is gone left open (every node, when undefined): its calls become rows, and readers of their streams are told. A journal
 * that cannot be written is no reason not to serve.
 */
export async function interruptLeft(stores: Stores, node: string | undefined, priceVersion: string, until: number): Promise<void> {
  await Promise.all([stores.ledger.interruptOpen(node, priceVersion), stores.journal.abandon(node, until).catch(() => 0)]);
}

/**
 * Settles what others left: all of it where this process has the record to itself; where gateways share it, of each that dies, from now on
 * until the function returned is called.
 */
export async function settleLeft(stores: Stores, priceVersion: () => string, until: () => number): Promise<() => void> {
  if (stores.nodes) return stores.nodes.onDead((node) => interruptLeft(stores, node, priceVersion(), until()));
  await interruptLeft(stores, undefined, priceVersion(), until());
  return () => {};
}
