import type { Problem } from "../canon/index.ts";

/** The code under which every language tells that the input is too long. */
export const TOO_LONG = "context_length_exceeded";

/** Codes and words by which servers refuse what is too long. Most say how much they hold and how much came, some say neither. */
const CODES = /^(?:context_length_exceeded|exceed_context_size_error|context_window_exceeded|string_above_max_length)$/;
const WORDS =
  /(?:context (?:length|size|window)|input (?:is )?(?:too long|length)|prompt (?:is too long|contains \d+ tokens)|too many (?:input )?tokens|token count .{0,40}exceeds|(?:must have|have) less than \d+ tokens)/i;
/** Of other causes, in much the same words. */
const NOT_INPUT = /max_(?:completion_|output_)?tokens (?:is|must|cannot|should)/i;
/** Two figures of tokens are a limit and a count. */
const FIGURES = /\d[\d,._]*\d{2}/g;

export interface Measures {
  /** Tokens that the target holds; undefined: nobody knows. */
  readonly limit: number | undefined;
  /** About how many the call has. Asked for where it is needed: counting takes time. */
  readonly count: () => number;
}

/** A refusal of what is too long, with the limit and the count, under one code. Anything else comes back as it is. */
export function withMeasures(problem: Problem, model: string, { limit, count }: Measures): Problem {
  if (problem.kind !== "upstream_rejected" || !isTooLong(problem)) return problem;
  const coded = { ...problem, code: TOO_LONG };
  if ((problem.message.match(FIGURES) ?? []).length >= 2) return coded;
  const holds = limit === undefined ? "How much the model holds is not known here" : `The model "${model}" holds ${limit} tokens`;
  const message = `${problem.message.replace(/[\s.]*$/, ".")} ${holds}; the call has about ${count()}.`;
  if (!problem.upstream) return { ...coded, message };
  // The provider's own words would go out in place of these.
  const { status, dialect, provider } = problem.upstream;
  return { ...coded, message, upstream: { status, dialect, provider } };
}

function isTooLong({ code, message }: Problem): boolean {
  return (code !== undefined && CODES.test(code)) || (WORDS.test(message) && !NOT_INPUT.test(message));
}
