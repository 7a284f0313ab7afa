import { createHash } from "node:crypto";
import type { Json, ToolPin, ToolPinStore } from "../canon/index.ts";
import { canonicalJson } from "../kit/index.ts";

export const FIRST_USE = "first-use";

/** What of a tool is approved: everything that a model or a client goes by. */
export interface PinnedParts {
  readonly name: string;
  readonly title?: string | undefined;
  readonly description?: string | undefined;
  readonly inputSchema?: unknown;
  readonly outputSchema?: unknown;
  readonly annotations?: unknown;
}

/** SHA-256, lower-case hex, of what a tool says of itself. */
export function hashOfTool({ name, title, description, inputSchema, outputSchema, annotations }: PinnedParts): string {
  const said = { name, title, description, inputSchema, outputSchema, annotations };
  return createHash("sha256")
    .update(canonicalJson(JSON.parse(JSON.stringify(said)) as Json))
    .digest("hex");
}

/** The pins in force, held in memory and read anew whenever any process changes one. */
export class Pins {
  readonly #store: ToolPinStore;
  readonly #report: (error: unknown) => void;
  readonly #stop: () => void;
  #pins: ReadonlyMap<string, ToolPin> = new Map();
  #reading: Promise<void> | undefined;
  #again = false;

  /** `onChange`: after every reading. */
  constructor(store: ToolPinStore, onChange: () => void, report: (error: unknown) => void) {
    this.#store = store;
    this.#report = report;
    this.#stop = store.watch(() => void this.refresh().then(onChange));
  }

  find(server: string, tool: string): ToolPin | undefined {
    return this.#pins.get(idOf(server, tool));
  }

  /** A record that cannot be read leaves what was known. */
  refresh(): Promise<void> {
    if (this.#reading) this.#again = true;
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  /** With `first`, one that is there already stays, whatever it holds. Resolves when what holds is durable. */
  async pin(pin: ToolPin, first: boolean): Promise<ToolPin> {
    const kept = await this.#store.pin(pin, first);
    this.#pins = new Map([...this.#pins, [idOf(kept.server, kept.tool), kept]]);
    return kept;
  }

  async unpin(server: string, tool: string): Promise<boolean> {
    const removed = await this.#store.unpin(server, tool);
    await this.refresh();
    return removed;
  }

  close(): void {
    this.#stop();
  }

  async #read(): Promise<void> {
    do {
      this.#again = false;
      try {
        this.#pins = new Map((await this.#store.list()).map((pin) => [idOf(pin.server, pin.tool), pin]));
      } catch (error) {
        this.#report(error);
      }
    } while (this.#again);
  }
}

function idOf(server: string, tool: string): string {
  return JSON.stringify([server, tool]);
}
