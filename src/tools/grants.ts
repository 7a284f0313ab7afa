import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { OAuthDiscoveryState, StoredOAuthClientInformation, StoredOAuthTokens } from "@modelcontextprotocol/client";

/** Seals what is kept: only this gateway can read it. */
export interface GrantSeal {
  seal(text: string, identity: readonly string[]): string;
  open(token: string, identity: readonly string[]): string | undefined;
}

/** A sign-in that was begun and not finished. */
export interface Begun {
  readonly verifier: string;
  readonly url: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What one server's authorization server gave, as it is kept. */
export interface Grant {
  readonly client?: StoredOAuthClientInformation;
  /** `expiresAt`: milliseconds since 1970. */
  readonly tokens?: StoredOAuthTokens & { readonly expiresAt?: number };
  readonly discovery?: OAuthDiscoveryState;
  /** By their states. */
  readonly begun?: Readonly<Record<string, Begun>>;
}

export interface GrantStore {
  read(server: string): Promise<Grant>;
  write(server: string, grant: Grant): Promise<void>;
}

/** Grants that the gateway can get again by itself. */
export class MemoryGrants implements GrantStore {
  readonly #grants = new Map<string, Grant>();

  read(server: string): Promise<Grant> {
    return Promise.resolve(this.#grants.get(server) ?? {});
  }

  write(server: string, grant: Grant): Promise<void> {
    this.#grants.set(server, grant);
    return Promise.resolve();
  }
}

/** Grants that a person gave: one sealed file each in the data folder, which all processes on this machine share. */
export class FileGrants implements GrantStore {
  readonly #folder: string;
  readonly #seal: GrantSeal;
  readonly #newId: () => string;

  constructor(folder: string, seal: GrantSeal, newId: () => string) {
    this.#folder = join(folder, "mcp-grants");
    this.#seal = seal;
    this.#newId = newId;
  }

  async read(server: string): Promise<Grant> {
    try {
      const text = this.#seal.open(await readFile(this.#file(server), "utf8"), [IDENTITY, server]);
      return text === undefined ? {} : (JSON.parse(text) as Grant);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
      throw error;
    }
  }

  async write(server: string, grant: Grant): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = this.#file(server);
    // Whole or not at all: another process may be reading it.
    const draft = `${file}.${this.#newId()}`;
    await writeFile(draft, this.#seal.seal(JSON.stringify(grant), [IDENTITY, server]), { mode: 0o600 });
    await rename(draft, file);
  }

  /** Two names that differ only in case are two files on every system. */
  #file(server: string): string {
    return join(this.#folder, createHash("sha256").update(server).digest("hex").slice(0, 32));
  }
}

const IDENTITY = "mcp-grant";
