import type { LiveCall } from "./live.ts";
import type { GatewayDeps } from "./run.ts";

/** Bytes of frames fetched from the journal at a time. */
const PAGE_BYTES = 1024 * 1024;

/** What a call has said and still remembers. */
export interface Told {
  /** Content type of the answer. */
  readonly type: string | undefined;
  readonly first: number;
  readonly frames: readonly Buffer[];
  readonly whole: Buffer | string | undefined;
}

/**
 * Every frame of the call: the oldest may be only in the journal by now. Undefined where some are gone, or together more than `mostBytes`.
 */
export async function toldFrames(
  deps: Pick<GatewayDeps, "clock" | "journal" | "spilling">,
  live: LiveCall,
  mostBytes = Number.POSITIVE_INFINITY,
): Promise<readonly Uint8Array[] | undefined> {
  if (live.told().first > 1) await deps.spilling.flush();
  const frames: Uint8Array[] = [];
  let bytes = live.bytes;
  for (let from = 0; frames.length + 1 < live.told().first;) {
    const page = await deps.journal.read(live.id, frames.length, PAGE_BYTES, deps.clock.now(), from);
    if (!page || page.frames.length === 0 || page.first !== frames.length + 1) return undefined;
    frames.push(...page.frames);
    for (const frame of page.frames) bytes += frame.length;
    if (bytes > mostBytes) return undefined;
    from = page.next;
  }
  const { first, frames: newest } = live.told();
  return [...frames.slice(0, first - 1), ...newest];
}
