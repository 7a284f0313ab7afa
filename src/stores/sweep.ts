import type { Clock, Stores } from "../canon/index.ts";

/** How often what has expired is forgotten. */
const EXPIRE_EVERY_MS = 10 * 60_000;

/** How long a budget's window is remembered when it is over: calls that began in it may run on, and clocks step back. */
const WINDOWS_KEPT_MS = 35 * 86_400_000;

/** Forgets from time to time what has expired; returns how to stop. */
export function sweeper(stores: Stores, clock: Clock, lineageMs: number): () => void {
  let cancel = (): void => {};
  const next = (): void => {
    cancel = clock.after(
      EXPIRE_EVERY_MS,
      () =>
        void stores.calls
          .expire(clock.now())
          .catch(() => {})
          .then(() => stores.cache.expire(clock.now()))
          .catch(() => {})
          .then(() => stores.files.expire(clock.now()))
          .catch(() => {})
          .then(() => stores.lineage.expire(clock.now() - lineageMs))
          .catch(() => {})
          .then(() => stores.content.drop(clock.now()))
          .catch(() => {})
          .then(() => stores.budgets.expire(clock.now() - WINDOWS_KEPT_MS))
          .catch(() => {})
          // Of the journal what has expired goes with every append; a gateway without calls makes an empty one.
          .then(() => stores.journal.append([], clock.now()))
          .catch(() => {})
          .finally(next),
    );
  };
  next();
  return () => cancel();
}
