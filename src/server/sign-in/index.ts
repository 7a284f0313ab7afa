import type { Clock } from "../../canon/index.ts";
import { PEOPLE, type IdentityOptions } from "../../gateway/identity-options.ts";
import { boundedFetch } from "./bounded-fetch.ts";
import { People } from "./people.ts";
import { Tokens } from "./tokens.ts";

export { peopleAt, SIGN_IN_PATH } from "./origin.ts";
export { mountSignIn, type SignInRoutesDeps } from "./routes.ts";
export { Sessions, type SessionDeps } from "./sessions.ts";

export interface IdentityDeps {
  readonly clock: Clock;
  readonly fetch: typeof globalThis.fetch;
  /** One line for the operator. */
  readonly log: (line: string) => void;
}

/** Who vouches for people and services, by the configuration in force. */
export class Identity {
  /** Of services, and people's as Bearer tokens. */
  readonly tokens: Tokens;
  readonly people: People;
  #options: IdentityOptions;

  constructor({ clock, fetch, log }: IdentityDeps, options: IdentityOptions) {
    const bounded = boundedFetch(fetch);
    this.#options = options;
    this.tokens = new Tokens({ clock, log, fetch: bounded }, options);
    this.people = new People({ clock, fetch: bounded });
  }

  get options(): IdentityOptions {
    return this.#options;
  }

  /** Of the issuers in the configuration: services', and with `people` theirs too. */
  names(people: boolean): readonly string[] {
    const { oidc, jwt } = this.#options;
    return [...jwt.map(({ name }) => name), ...(people && oidc ? [PEOPLE] : [])];
  }

  configure(options: IdentityOptions): void {
    this.#options = options;
    this.tokens.configure(options);
  }
}
