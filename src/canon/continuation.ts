/**
 * How a model is asked to go on with an answer that broke off, where it does not go on from its own words by itself. The simulator knows
 * these words and does as they say.
 */
const REQUEST_BEGINS = "Your answer above was cut off by a broken connection.";
const ANCHOR_BEGINS = "<last-words>";
const ANCHOR_ENDS = "</last-words>";

/** What the user is made to say. `anchor`: the last words of the broken answer; `form`: what else is to be kept in mind, as a sentence. */
export function requestToGoOn(anchor: string, form = ""): string {
  return `${REQUEST_BEGINS} Go on with it exactly where it stopped: no preamble, no apology, nothing said twice but this: begin with its last words, which were ${ANCHOR_BEGINS}${anchor}${ANCHOR_ENDS}, and write on from there.${form === "" ? "" : ` ${form}`}`;
}

/** The last words named in such a request; undefined for any other text. */
export function anchorIn(text: string): string | undefined {
  if (!text.startsWith(REQUEST_BEGINS)) return undefined;
  const from = text.indexOf(ANCHOR_BEGINS);
  const to = text.lastIndexOf(ANCHOR_ENDS);
  return from < 0 || to < from ? undefined : text.slice(from + ANCHOR_BEGINS.length, to);
}
