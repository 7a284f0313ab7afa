import { FlatNames, offeredTools, type Call, type Diagnostic, type EncodeTarget, type Item, type ToolSpec } from "../../canon/index.ts";
import { ID } from "./shape.ts";

/** In `capabilities.refuses`: the upstream knows function tools only. */
const REFUSES_CUSTOM_TOOLS = "tools[].custom";

/** What encoding a call needs everywhere: where it goes, the tools' names, and a place for diagnostics that says each loss once. */
export class EncodeContext {
  readonly target: EncodeTarget;
  /** Every tool on offer, also those that items of other languages brought in. */
  readonly tools: readonly ToolSpec[];
  readonly names: FlatNames;
  /** Custom tools become functions with one string `input`. */
  readonly degradeCustom: boolean;
  readonly #note: (diagnostic: Diagnostic) => void;
  readonly #noted = new Set<string>();

  constructor(call: Call, target: EncodeTarget, note: (diagnostic: Diagnostic) => void) {
    this.target = target;
    this.tools = offeredTools(call);
    this.names = new FlatNames(this.tools);
    this.degradeCustom = target.capabilities.refuses?.includes(REFUSES_CUSTOM_TOOLS) ?? false;
    this.#note = note;
  }

  note(field: string, action: Diagnostic["action"], reason: string): void {
    const key = `${field}\n${action}\n${reason}`;
    if (this.#noted.has(key)) return;
    this.#noted.add(key);
    this.#note({ field, action, reason });
  }

  /** `note` for those who have a whole diagnostic. */
  readonly tell = ({ field, action, reason }: Diagnostic): void => this.note(field, action, reason);

  /** Notes a loss and returns nothing, for `return context.drop(...)`. */
  drop(field: string, reason: string): undefined {
    this.note(field, "dropped", reason);
    return undefined;
  }

  /** May the verbatim wire form go out? It may when a client sent it in this language or this very provider wrote it. */
  isNative({ origin }: Item | ToolSpec): boolean {
    return origin?.dialect === ID && (origin.provider === undefined || origin.provider === this.target.provider);
  }
}
