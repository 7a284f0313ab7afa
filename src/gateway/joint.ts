/** How the model was asked to go on. */
export type GoingOn =
  /** From its own words, which end the request: what comes is the rest. */
  | "prefill"
  /** By a further request of the user: what comes may begin with words that were said. */
  | "turn"
  /** From the start, because nothing was said that can be gone on from. */
  | "anew";

/** Characters of the end of what was said that are looked for at the beginning of what comes. */
const OVERLAP_CHARACTERS = 400;
/** Shorter repetitions are taken for chance: an exact continuation must not lose a word. */
const LEAST_OVERLAP = 20;
/** Of whole words chance is less likely. */
const LEAST_WORDS = 8;
/** An answer at least so long is recognised when it is told again from its start. */
const LEAST_WHOLE = 32;
/** So much of the start told again and then told otherwise is another answer. */
const LEAST_RETOLD = 48;
const ANCHOR_CHARACTERS = 40;

/** The last words of a text, for a request to go on from them: whole words where there are any, without the space behind. */
export function anchorOf(said: string): string {
  const end = said.trimEnd();
  const tail = end.slice(-ANCHOR_CHARACTERS);
  if (tail.length === end.length) return tail.trimStart();
  if (/\s/.test(end.charAt(end.length - tail.length - 1))) return tail;
  const space = tail.search(/\s\S/);
  return space < 0 ? tail : tail.slice(space + 1);
}

/** Where two halves of an answer meet: takes from the second what the first said already. Holds text back until that is clear. */
export class Joint {
  readonly #said: string;
  /** What was said, without the spaces around it. */
  readonly #core: string;
  readonly #anchor: string;
  /** The space at its end: whoever goes on may say it again. */
  readonly #space: string;
  readonly #how: GoingOn;
  #waiting = "";
  #decided = false;
  /** The answer was begun again and told otherwise: it cannot be joined. */
  diverged = false;

  constructor(said: string, how: GoingOn) {
    this.#said = said;
    this.#core = said.trim();
    this.#anchor = anchorOf(said);
    this.#space = said.slice(said.trimEnd().length);
    this.#how = how;
    // Nothing was said: there is nothing to join.
    if (said === "") this.#decided = true;
  }

  /** What of the text so far is new; "" while that cannot be told. */
  push(text: string): string {
    if (this.#decided) return text;
    this.#waiting += text;
    return this.#isOpen(this.#waiting) ? "" : this.end();
  }

  /** Nothing more comes: what was held back. */
  end(): string {
    if (this.#decided) return "";
    this.#decided = true;
    const text = this.#waiting;
    this.#waiting = "";
    return text.slice(this.#repeated(text));
  }

  /** Could the text, when it grows, turn out to be said already? */
  #isOpen(text: string): boolean {
    const bare = text.trimStart();
    if (bare === "") return text.length < OVERLAP_CHARACTERS;
    if (this.#how === "anew") return false;
    // Behind what is said again the space may come again too.
    if (this.#core.length >= LEAST_WHOLE && (this.#core + this.#space).startsWith(bare)) return true;
    if (this.#how === "prefill") return false;
    if ((this.#anchor + this.#space).startsWith(bare)) return true;
    return bare.length < OVERLAP_CHARACTERS && this.#said.slice(-OVERLAP_CHARACTERS).includes(bare);
  }

  /** Characters at the beginning that were said already. */
  #repeated(text: string): number {
    const lead = text.length - text.trimStart().length;
    const bare = text.slice(lead);
    if (this.#core.length >= LEAST_WHOLE) {
      const retold = commonPrefix(bare, this.#core);
      if (retold === this.#core.length) return lead + retold + this.#spaceIn(bare.slice(retold));
      // What stops short of the whole may be chance, as long as it is short.
      this.diverged = retold >= LEAST_RETOLD && retold < bare.length;
    }
    if (this.#how === "turn") {
      if (this.#anchor !== "" && bare.startsWith(this.#anchor)) {
        this.diverged = false;
        return lead + this.#anchor.length + this.#spaceIn(bare.slice(this.#anchor.length));
      }
      const overlap = this.#overlap(text) || (lead > 0 && this.#overlap(bare) + lead);
      if (typeof overlap === "number" && overlap > lead) return overlap;
    }
    // What was sent along with its last space is gone on from behind it.
    return this.#how === "turn" ? 0 : this.#spaceIn(text);
  }

  #overlap(text: string): number {
    for (let length = Math.min(OVERLAP_CHARACTERS, text.length, this.#said.length); length >= LEAST_WORDS; length--) {
      const start = this.#said.length - length;
      if (!this.#said.endsWith(text.slice(0, length))) continue;
      const wholeWords = start === 0 || !/\w/.test(this.#said.charAt(start - 1));
      if (length >= LEAST_OVERLAP || wholeWords) return length;
    }
    return 0;
  }

  #spaceIn(text: string): number {
    return commonPrefix(text, this.#space);
  }
}

function commonPrefix(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}
