import { ProblemError } from "../canon/index.ts";
import type { DoorDeps, McpDoor } from "./door.ts";
import type { McpOptions } from "./options.ts";

export type { McpDoor, PeerRequest, SessionPeers } from "./door.ts";
export type { Asking } from "./sessions.ts";
export type { ServerReport } from "./hub.ts";
export type { McpOptions } from "./options.ts";
export { enterSurface } from "./admission.ts";
export { FileGrants } from "./grants.ts";

/** MCP, by the configuration in force. The protocol's packages are loaded when servers are configured, or somebody asks. */
export class Tools {
  readonly #deps: DoorDeps;
  #options: McpOptions;
  #door: Promise<McpDoor> | undefined;
  #closed = false;

  constructor(deps: DoorDeps, options: McpOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#begin();
  }

  get options(): McpOptions {
    return this.#options;
  }

  configure(options: McpOptions): void {
    this.#options = options;
    if (this.#door) void this.#door.then((door) => door.configure(this.#options));
    else this.#begin();
  }

  door(): Promise<McpDoor> {
    if (this.#closed) return Promise.reject(new ProblemError({ kind: "overloaded", message: "The gateway is stopping." }));
    this.#door ??= import("./door.ts").then(({ McpDoor: Door }) => new Door(this.#deps, this.#options));
    return this.#door;
  }

  /** Lets running calls finish, for `ms` at most, and ends every server that was started. */
  async close(ms: number): Promise<void> {
    this.#closed = true;
    await (await this.#door)?.close(ms);
  }

  #begin(): void {
    if (Object.keys(this.#options.servers).length > 0) this.door().catch(this.#deps.report);
  }
}
