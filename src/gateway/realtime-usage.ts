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
  #answering = false;
  #unsaidOutput = 0;
  /** Characters that the client sent; sound among them, which makes this too much rather than too little. */
  #unsaidInput = 0;

  said(characters: number): void {
    this.#unsaidInput += characters;
  }

  /** Was anything told that bears on what it costs? */
  hear({ answer, usage, transcribed, outputTokens = 0 }: ServerWord): boolean {
    if (answer === "begins") this.#answering = true;
    this.#unsaidOutput += outputTokens;
    if (answer === "ends") this.#answering = false;
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
    const unsaid = this.#answering || this.#unsaidOutput > 0;
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
