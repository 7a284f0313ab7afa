import type { AuditNote } from "./audit.ts";

/** What a tool of an upstream server was when somebody said that it may be used. Anything else under its name is withheld. */
export interface ToolPin {
  /** The server's name in the configuration. */
  readonly server: string;
  /** The tool as its server names it. */
  readonly tool: string;
  /** SHA-256 of the tool's name, description and schemas as canonical JSON (RFC 8785), lower-case hex. */
  readonly hash: string;
  /** Who said so: as in the audit, or `first-use`. */
  readonly author: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

export interface ToolPinStore {
  /** Keeps a pin in place of an earlier one of the tool. With `first`, an earlier one stays. Returns the one that holds. */
  pin(pin: ToolPin, first: boolean, note?: AuditNote): Promise<ToolPin>;
  /** False when the tool had none. */
  unpin(server: string, tool: string, note?: AuditNote): Promise<boolean>;
  /** By server and tool. */
  list(): Promise<readonly ToolPin[]>;
  /** Tells within a second of changes made by any process, until the function returned is called. */
  watch(listener: () => void): () => void;
}
