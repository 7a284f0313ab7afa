import type { ToolPin } from "../canon/index.ts";
import type { WriteName } from "./backend.ts";

/** Pins of tools as every engine has them in its tables. */
export interface PinColumns {
  readonly server: string;
  readonly tool: string;
  readonly hash: string;
  readonly author: string;
  readonly created_at: number;
}

export const PIN_WRITES = ["pinTool", "unpinTool"] as const satisfies readonly WriteName[];
export type PinWrites = (typeof PIN_WRITES)[number];

export function pinFrom({ server, tool, hash, author, created_at: createdAt }: PinColumns): ToolPin {
  return { server, tool, hash, author, createdAt };
}

/** In the order of the columns. */
export function pinToValues({ server, tool, hash, author, createdAt }: ToolPin): (string | number)[] {
  return [server, tool, hash, author, createdAt];
}
