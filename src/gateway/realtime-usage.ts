import { addUsage, NO_USAGE, type ServerWord, type Usage } from "../canon/index.ts";

const CHARACTERS_PER_TOKEN = 4;

/** What a session has used. Where it ends in the middle of an answer, the rest is an estimate. */
export class SessionUsage {
  /** Of the session's own model, as its provider said. */
  own: Usage = NO_USAGE;
  /** Of whoever wrote down what was heard. */
  heard: Usage | undefined;
  /** Named by the client. */
  transcriber: string | undefined;
  /** Answers that were asked for, and such that have begun. */
  #asked = 0;
  #begun = 0;
  #unsaidOutput = 0;
  /** Characters that the client sent; sound among them, which makes this too much rather than too little. */
  #unsaidInput = 0;

  /** Answers that will cost something which is not known yet. */
  get open(): number {
    return this.#asked + this.#begun;
  }

  said(characters: number, asks: boolean): void {
    this.#unsaidInput += characters;
    if (asks) this.#asked++;
  }

  /** Was anything told that bears on what it costs? */
  hear({ answer, usage, transcribed, outputTokens = 0 }: ServerWord): boolean {
    this.#unsaidOutput += outputTokens;
    if (answer === "begins") this.#begun++;
    // In some languages an answer just begins to come.
    if (answer === "ends" && this.#begun > 0) this.#begun--;
    else if (answer !== undefined && this.#asked > 0) this.#asked--;
    if (!usage) return false;
    if (transcribed) this.heard = this.heard ? addUsage(this.heard, usage) : usage;
    else {
      this.own = addUsage(this.own, usage);
      this.#unsaidOutput = 0;
      this.#unsaidInput = 0;
    }
    return true;
  }

  /** @param last nothing more will be told: an answer under way is estimated */
  total(last: boolean): Usage {
    const unsaid = this.#begun > 0 || this.#unsaidOutput > 0;
    if (!last || !unsaid) return this.own;
    const rest: Usage = {
      ...NO_USAGE,
      inputUncached: Math.ceil(this.#unsaidInput / CHARACTERS_PER_TOKEN),
      output: Math.ceil(this.#unsaidOutput),
      estimated: true,
    };
    return addUsage(this.own, rest);
  }
}
