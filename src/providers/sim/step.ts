import type { Problem } from "../../canon/index.ts";

/** What a simulated upstream does next. A sequence of steps ends like a connection that was closed in order, unless it breaks before. */
export type Step =
  | { readonly does: "head"; readonly status: number; readonly headers: Readonly<Record<string, string>> }
  | { readonly does: "write"; readonly bytes: Buffer; readonly tokens: number }
  /** `Infinity`: for ever. */
  | { readonly does: "wait"; readonly ms: number }
  | { readonly does: "break"; readonly problem: Problem };

export type Steps = Iterator<Step, void, undefined>;
