import type { Clock, Denial, GroupBound, KeyStore } from "../canon/index.ts";

/** Whom an issuer vouches for: what can be denied of it. */
export interface Vouched {
  readonly issuer: string;
  readonly subject: string;
  readonly tokenId?: string | undefined;
  readonly session?: string | undefined;
}

interface Beside {
  readonly bounds: readonly GroupBound[];
  /** By what is denied; milliseconds since 1970 when it ends. */
  readonly denials: ReadonlyMap<string, number>;
}

/** What stands beside the keys, remembered until it is told to forget. */
export class Standing {
  readonly #keys: KeyStore;
  readonly #clock: Clock;
  #beside: Promise<Beside> | undefined;

  constructor(deps: { readonly keys: KeyStore; readonly clock: Clock }) {
    this.#keys = deps.keys;
    this.#clock = deps.clock;
  }

  forget(): void {
    this.#beside = undefined;
  }

  /** Rejects when the record cannot be read: nobody is let in unseen. */
  async bounds(): Promise<readonly GroupBound[]> {
    return (await this.#read()).bounds;
  }

  async isDenied({ issuer, subject, tokenId, session }: Vouched): Promise<boolean> {
    const { denials } = await this.#read();
    if (denials.size === 0) return false;
    const now = this.#clock.now();
    const denied = (kind: Denial["kind"], value: string | undefined): boolean =>
      value !== undefined && (denials.get(nameOf({ kind, issuer, value })) ?? 0) > now;
    return denied("subject", subject) || denied("token", tokenId) || denied("session", session);
  }

  #read(): Promise<Beside> {
    if (this.#beside) return this.#beside;
    const reading = this.#load();
    this.#beside = reading;
    reading.catch(() => {
      if (this.#beside === reading) this.#beside = undefined;
    });
    return reading;
  }

  async #load(): Promise<Beside> {
    const [bounds, denials] = await Promise.all([this.#keys.bounds(), this.#keys.denials(this.#clock.now())]);
    const ends = new Map<string, number>();
    for (const denial of denials) {
      const name = nameOf(denial);
      ends.set(name, Math.max(ends.get(name) ?? 0, denial.expiresAt ?? Number.MAX_SAFE_INTEGER));
    }
    return { bounds, denials: ends };
  }
}

function nameOf({ kind, issuer, value }: Pick<Denial, "kind" | "issuer" | "value">): string {
  return `${kind}\u0000${issuer}\u0000${value}`;
}
