import { offeredTools, textOf, type Call, type Item } from "../canon/index.ts";

/** How demanding a call is, and what that is made of. */
export interface Complexity {
  /** 0 to 100. */
  readonly score: number;
  readonly parts: readonly { readonly what: string; readonly points: number }[];
}

/** Says how demanding a call is where more is asked than counting. Never rejects: what fails is answered by the cheap score. */
export interface ComplexityScorer {
  score(call: Call, inputTokens: number): Promise<Complexity>;
}

const MOST = 100;
/** Text of the newest question that is looked at, in characters: what a task is about stands at its beginning and at its end. */
const LOOKED_AT = 8000;

/** Points that each part can give at most; together they are 100. */
const LENGTH_POINTS = 25;
const CODE_POINTS = 20;
const REASONING_POINTS = 25;
const TOOL_POINTS = 15;
const DEPTH_POINTS = 15;

/** Each doubling of the input beyond this many tokens gives the same number of points. */
const SHORT_INPUT_TOKENS = 250;
const POINTS_PER_DOUBLING = 3;
const POINTS_PER_REASON = 5;
const POINTS_PER_TOOL = 1.5;
const POINTS_PER_TURN = 1.5;

const FENCE = /```/;
const CODE =
  /^\s*(?:def |class |function |import |from \S+ import |#include|public |private |const |let |fn |SELECT |INSERT |@\w+)|[{;]\s*$|=>|\(\)\s*[{:]/m;
const REASONS =
  /\b(?:prove|proof|derive|analy[sz]e|compare|evaluate|explain why|why does|step[- ]by[- ]step|design|architect\w*|refactor|debug|diagnose|optimi[sz]e|trade-?offs?|plan|strategy|theorem|algorithm|complexity|estimate|calculate|solve|root cause|edge cases?|pros and cons|reason(?:ing)?|think (?:hard|carefully|through))\b/gi;

/** The cheap score: counts what can be seen of a call without understanding it. Takes microseconds, and says what it counted. */
export function cheapComplexity(call: Call, inputTokens: number): Complexity {
  const question = newestQuestion(call);
  const reasons = new Set([...question.matchAll(REASONS)].map(([word]) => word.toLowerCase()));
  const tools = offeredTools(call).length;
  const turns = turnsOf(call);
  const parts = [
    part(
      `about ${inputTokens} input tokens`,
      Math.log2(Math.max(1, inputTokens / SHORT_INPUT_TOKENS)) * POINTS_PER_DOUBLING,
      LENGTH_POINTS,
    ),
    FENCE.test(question)
      ? part("a block of code", CODE_POINTS, CODE_POINTS)
      : part("lines of code", CODE.test(question) ? CODE_POINTS / 2 : 0, CODE_POINTS),
    part(`asks to ${[...reasons].slice(0, 5).join(", ")}`, reasons.size * POINTS_PER_REASON, REASONING_POINTS),
    part(`${tools} tools`, tools * POINTS_PER_TOOL, TOOL_POINTS),
    part(`turn ${turns}`, (turns - 1) * POINTS_PER_TURN, DEPTH_POINTS),
    part(`reasoning effort ${call.reasoning?.effort ?? ""}`, wantsEffort(call) ? REASONING_POINTS : 0, REASONING_POINTS),
  ].filter(({ points }) => points > 0);
  return {
    score: Math.min(
      MOST,
      parts.reduce((sum, { points }) => sum + points, 0),
    ),
    parts,
  };
}

function part(what: string, points: number, most: number): Complexity["parts"][number] {
  return { what, points: Math.round(Math.min(most, Math.max(0, points))) };
}

/** A caller that pays for much thinking has said how hard it is. */
function wantsEffort(call: Call): boolean {
  return ["high", "xhigh", "max"].includes(call.reasoning?.effort ?? "");
}

/** How often the user has spoken. */
export function turnsOf(call: Call): number {
  let turns = 0;
  for (const item of call.items) if (isUser(item)) turns++;
  return turns;
}

function isUser(item: Item): boolean {
  return item.type === "message" && item.role === "user";
}

/** The beginning and the end of what the user said last. */
export function newestQuestion(call: Call): string {
  const item = call.items.findLast(isUser);
  if (item?.type !== "message") return "";
  const text = textOf(item.parts);
  return text.length <= LOOKED_AT ? text : `${text.slice(0, LOOKED_AT / 2)}\n${text.slice(-LOOKED_AT / 2)}`;
}

/** What the scoring model is told; its answer is one number. */
const INSTRUCTION =
  "Rate how demanding the following task is for a language model, from 0 (small talk, a look-up) to 100 (research, long proofs, large programs). Do not do the task. Answer with the number only.\n\nThe task:\n";

export interface ModelScorerOptions {
  /** Asks a model one question and resolves with its text; rejects when it fails. `signal` aborts when nobody waits any longer. */
  readonly ask: (model: string, text: string, signal: AbortSignal) => Promise<string>;
  readonly model: string;
  readonly timeoutMs: number;
  readonly clock: { after(ms: number, callback: () => void): () => void };
}

/** Asks a model; falls back to the cheap score, saying why. */
export class ModelScorer implements ComplexityScorer {
  readonly #options: ModelScorerOptions;

  constructor(options: ModelScorerOptions) {
    this.#options = options;
  }

  async score(call: Call, inputTokens: number): Promise<Complexity> {
    const { model, timeoutMs, clock, ask } = this.#options;
    const cheap = (why: string): Complexity => {
      const counted = cheapComplexity(call, inputTokens);
      return { score: counted.score, parts: [...counted.parts, { what: `counted here, because ${model} ${why}`, points: 0 }] };
    };
    const limit = new AbortController();
    let cancel = (): void => {};
    const late = new Promise<undefined>((resolve) => {
      cancel = clock.after(timeoutMs, () => {
        // First, so that what the question does when it is broken off cannot come before it.
        resolve(undefined);
        limit.abort();
      });
    });
    try {
      const answer = await Promise.race([ask(model, INSTRUCTION + newestQuestion(call), limit.signal), late]);
      if (answer === undefined) return cheap(`did not answer within ${timeoutMs} ms`);
      const score = readScore(answer);
      return score === undefined
        ? cheap("answered no number from 0 to 100")
        : { score, parts: [{ what: `${model} says so`, points: score }] };
    } catch {
      return cheap("failed");
    } finally {
      cancel();
    }
  }
}

function readScore(answer: string): number | undefined {
  const digits = /(?<![\d.-])\d{1,3}(?:\.\d+)?(?![\d])/.exec(answer)?.[0];
  const score = Math.round(Number(digits));
  return digits !== undefined && score <= MOST ? score : undefined;
}
