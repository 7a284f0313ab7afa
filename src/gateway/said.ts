import type { Dialect, Event, Item } from "../canon/index.ts";
import { framingOf } from "./framing.ts";

/** What a client was told of an answer that broke off, read back from the frames it got. */
export interface Said {
  readonly events: readonly Event[];
  /** All the text of its messages. */
  readonly text: string;
  /** The items that are still open: by index, with the number of their newest part. */
  readonly open: ReadonlyMap<number, { readonly item: Item; readonly part: number }>;
  /** Index of the next item. */
  readonly next: number;
  /** It is text and reasoning and nothing else: only that can be gone on from. */
  readonly isWords: boolean;
}

/** `provider`: by which the answer's own items are known, where they passed untouched. */
export function saidIn(frames: Iterable<Uint8Array>, dialect: Dialect, provider: string | undefined): Said {
  const events: Event[] = [];
  const decoder = dialect.decodeEvents((event) => events.push(event), { ...(provider !== undefined && { provider }) });
  const { parse } = framingOf(dialect);
  for (const bytes of frames) {
    const frame = parse(bytes);
    if (frame) decoder.frame(frame);
  }
  return readBack(events);
}

function readBack(events: readonly Event[]): Said {
  const open = new Map<number, { item: Item; part: number }>();
  let text = "";
  let next = 0;
  let isWords = true;
  for (const event of events) {
    switch (event.type) {
      case "item_start":
        next = Math.max(next, event.index + 1);
        open.set(event.index, { item: event.item, part: 0 });
        isWords &&= event.item.type === "message" || event.item.type === "reasoning";
        break;
      case "text": {
        text += event.text;
        const item = open.get(event.index);
        if (item) item.part = event.part;
        break;
      }
      case "reasoning": {
        const item = open.get(event.index);
        if (item) item.part = event.part;
        break;
      }
      case "item_end":
        open.delete(event.index);
        break;
      case "refusal":
      case "done":
      case "problem":
        isWords = false;
        break;
      case "start":
      case "annotation":
      case "input":
      case "usage":
      case "native":
        break;
    }
  }
  return { events, text, open, next, isWords };
}
