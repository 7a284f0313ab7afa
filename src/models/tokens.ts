import { createRequire } from "node:module";

type Count = (text: string, options: { readonly disallowedSpecial: ReadonlySet<string> }) => number;

/** Characters of text counted exactly; longer texts are estimated from samples, so that a count never holds up other calls for long. */
const EXACT_CHARACTERS = 200_000;
const SAMPLES = 16;
const SAMPLE_CHARACTERS = 4000;

/**
 * The tokenizer's work grows with the square of a run of letters (or of blanks) without a break: 20,000 characters of unbroken Chinese
 * take a second. Runs beyond this many characters are cut, at the price of at most one token a cut.
 */
const RUN_CHARACTERS = 256;
const LONG_RUN = /\S{257,}|\s{257,}/g;

/** Text that looks like a control token is just text here. */
const AS_TEXT = { disallowedSpecial: new Set<string>() };

let loaded: Count | undefined;

/** The vocabulary is 2 MB and takes an eighth of a second to load: only who counts pays for it. */
function tokenizer(): Count {
  loaded ??= (createRequire(import.meta.url)("gpt-tokenizer/encoding/o200k_base") as { countTokens: Count }).countTokens;
  return loaded;
}

/** For who knows that something will be counted, and a better moment to load what that takes. */
export function prepareCounting(): void {
  tokenizer();
}

/** Tokens of a text in the o200k vocabulary: exact (but for the cuts in very long runs) up to 200,000 characters, estimated above. */
export function countTokensOf(text: string): number {
  if (text.length <= EXACT_CHARACTERS) return countExactly(text);
  const stride = Math.floor((text.length - SAMPLE_CHARACTERS) / (SAMPLES - 1));
  let tokens = 0;
  for (let sample = 0; sample < SAMPLES; sample++) tokens += countExactly(text.slice(sample * stride, sample * stride + SAMPLE_CHARACTERS));
  return Math.round((tokens / (SAMPLES * SAMPLE_CHARACTERS)) * text.length);
}

function countExactly(text: string): number {
  const count = tokenizer();
  let tokens = 0;
  let from = 0;
  for (const run of text.matchAll(LONG_RUN)) {
    if (run.index > from) tokens += count(text.slice(from, run.index), AS_TEXT);
    const end = run.index + run[0].length;
    for (let at = run.index; at < end; at += RUN_CHARACTERS) tokens += count(text.slice(at, Math.min(at + RUN_CHARACTERS, end)), AS_TEXT);
    from = end;
  }
  return from < text.length ? tokens + count(text.slice(from), AS_TEXT) : tokens;
}

/** Characters that one estimate counts exactly: 2 to 4 ms of work (measured: 0.2 to 0.45 µs a character), once, after the answer. */
const ESTIMATE_CHARACTERS = 8000;
/** Before anything was counted: what English prose has. */
const USUAL_CHARACTERS = 4;

/** Counts texts one after the other; once its characters are used up, the rest is taken to have as many tokens as what was counted. */
export function tokenEstimator(): (text: string) => number {
  let counted = 0;
  let tokens = 0;
  return (text) => {
    const exact = text.slice(0, Math.max(0, ESTIMATE_CHARACTERS - counted));
    const found = exact === "" ? 0 : countExactly(exact);
    counted += exact.length;
    tokens += found;
    if (exact.length === text.length) return found;
    return found + (text.length - exact.length) * (counted === 0 ? 1 / USUAL_CHARACTERS : tokens / counted);
  };
}
