import type { Alias, Target } from "../canon/index.ts";
import type { CallFacts } from "./facts.ts";

/** How long a provider's prompt cache is taken to be warm after an answer, and a session to be remembered. */
const WARM_MS = 5 * 60_000;
const SESSION_MS = 24 * 3_600_000;
/** Sessions remembered; the one that was silent longest is forgotten first. */
const REMEMBERED = 50_000;
/** Names longer than this are not names of sessions. */
const NAME_CHARACTERS = 512;

interface Remembered {
  /** `provider/model`. */
  readonly target: string;
  readonly at: number;
  /** The alias's targets then: whoever puts them in another order means the running sessions too. */
  readonly among: string;
}

/** What ties a call to earlier ones: where to look, and what the target found there did. */
export interface Tie {
  readonly key: string;
  readonly what: string;
}

/** Which target answered a session last. Every key holds its caller's scope: sessions never cross callers. */
export class Affinity {
  readonly #remembered = new Map<string, Remembered>();
  readonly #most: number;

  constructor(most = REMEMBERED) {
    this.#most = most;
  }

  get size(): number {
    return this.#remembered.size;
  }

  /** The tie of a call, if it has one: its session's name, else its prompt cache key, else the answer it continues. */
  tieOf(alias: Alias, facts: CallFacts): Tie | undefined {
    if (alias.sticky === "off") return undefined;
    const { session, previousId } = facts.source;
    const { scope } = facts.caller;
    if (session !== undefined) return tie(scope, alias.name, "session", session, "answered this session last");
    if (previousId !== undefined) return tie(scope, alias.name, "answer", previousId, "gave the answer that this call continues");
    const { cacheKey } = facts.needs;
    return cacheKey === undefined ? undefined : tie(scope, alias.name, "cache", cacheKey, "answered calls with this prompt cache key last");
  }

  /** `provider/model` that answered last, while that still counts. */
  find(alias: Alias, { key }: Tie, at: number): string | undefined {
    const found = this.#remembered.get(key);
    if (found?.among !== amongOf(alias)) return undefined;
    if (at - found.at <= (alias.sticky === "session" ? SESSION_MS : WARM_MS)) return found.target;
    if (at - found.at > SESSION_MS) this.#remembered.delete(key);
    return undefined;
  }

  remember(alias: Alias, key: string, target: Pick<Target, "provider" | "model">, at: number): void {
    // Deleted first, so that the order of the map is the order of use.
    this.#remembered.delete(key);
    this.#remembered.set(key, { target: `${target.provider}/${target.model}`, at, among: amongOf(alias) });
    if (this.#remembered.size <= this.#most) return;
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined) this.#remembered.delete(oldest);
  }

  /** Under which key the next call will look that continues an answer. */
  answerKey(alias: Alias, scope: string, answerId: string): string | undefined {
    return alias.sticky === "off" ? undefined : tie(scope, alias.name, "answer", answerId, "")?.key;
  }
}

function tie(scope: string, alias: string, kind: string, name: string, what: string): Tie | undefined {
  return name === "" || name.length > NAME_CHARACTERS ? undefined : { key: `${scope}\0${alias}\0${kind}\0${name}`, what };
}

const among = new WeakMap<Alias, string>();

/** Names of an alias's targets in their order; one text for all sessions of a configuration. */
function amongOf(alias: Alias): string {
  let names = among.get(alias);
  if (names === undefined) among.set(alias, (names = alias.targets.map(({ provider, model }) => `${provider}/${model}`).join(" ")));
  return names;
}
