import { SeededRandomness } from "../../kit/index.ts";

/** The simulator's token. Counting with a real vocabulary would cost more than the rest of the call. */
export const TOKEN_CHARACTERS = 4;

export function tokensOf(text: string): number {
  return Math.ceil(text.length / TOKEN_CHARACTERS);
}

/** Three letters and a space: each word is one token, whatever is drawn. */
const WORDS = [
  "lux",
  "sol",
  "via",
  "vox",
  "rex",
  "pax",
  "lex",
  "ars",
  "mos",
  "ius",
  "res",
  "spe",
  "fas",
  "nox",
  "mel",
  "sal",
  "ver",
  "aer",
  "ter",
  "hic",
];

/** Made-up text of exactly so many tokens, the same for the same seed. */
export function loremOf(tokens: number, seed: number): string {
  const random = new SeededRandomness(seed);
  let text = "";
  for (let at = 0; at < tokens; at++)
    text += `${WORDS[Math.floor(random.number() * WORDS.length)] ?? "lux"}${at === tokens - 1 ? "." : " "}`;
  return text;
}

const HIGH_FIRST = 0xd800;
const HIGH_LAST = 0xdbff;

/** A text in pieces of so many tokens. No piece ends within a surrogate pair: it could not be written as UTF-8. */
export function* piecesOf(text: string, tokens: number): Generator<string> {
  const size = tokens * TOKEN_CHARACTERS;
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + size);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= HIGH_FIRST && last <= HIGH_LAST) end++;
    yield text.slice(at, end);
    at = end;
  }
}
