import { unfold, type Event } from "../canon/index.ts";
import { factsOf } from "./facts.ts";
import { framingOf } from "./framing.ts";
import type { Reply } from "./reply.ts";
import type { GatewayDeps, Run } from "./run.ts";
import { textsOfTask } from "./task.ts";

/** Characters of text in a token, where nothing can be counted. */
export const CHARACTERS_PER_TOKEN = 4;
/** Of an answer's frames so many are read for its text, whose tokens say how many there are in the rest. */
const READ_FRAMES = 500;

/** Tokens that a call sends to a model, counted here: those of its texts, and a fixed number for each image, file and sound. */
export function inputTokens(deps: GatewayDeps, run: Run, model: string): number {
  const { caller } = run;
  const facts = run.facts ?? (caller && factsOf(deps, run, caller));
  const count = deps.book.estimator?.(model);
  if (run.task && count) return Math.ceil(textsOfTask(run.task).reduce((sum, text) => sum + count(text), 0));
  if (!facts || !count) return Math.ceil((run.document?.text.length ?? 0) / CHARACTERS_PER_TOKEN);
  return Math.ceil(facts.countTokens(count));
}

/** Tokens of so many characters that a model wrote: counted in what the call's client was told, and in proportion where that is not all. */
export function outputTokens(deps: GatewayDeps, run: Run, model: string, characters: number, reply: Reply | undefined): number {
  if (characters === 0) return 0;
  const text = wordsOf(run, reply);
  const count = deps.book.estimator?.(model);
  if (text === "" || !count) return Math.ceil(characters / CHARACTERS_PER_TOKEN);
  return Math.ceil((count(text) * characters) / text.length);
}

function wordsOf(run: Run, reply: Reply | undefined): string {
  try {
    const told = run.stream ? toldText(run) : "";
    return told === "" && reply?.state === "done" ? answerText(reply) : told;
  } catch {
    // An answer that its own language cannot read cannot be counted either.
    return "";
  }
}

/** The beginning of what the client was told; nothing where the beginning is already forgotten. */
function toldText({ live, request }: Run): string {
  const { first, frames } = live.told();
  if (first > 1) return "";
  const pieces: string[] = [];
  const decoder = request.dialect.decodeEvents((event) => pieces.push(wordsIn(event)), {});
  const { parse } = framingOf(request.dialect);
  for (const bytes of frames.slice(0, READ_FRAMES)) {
    const frame = parse(bytes);
    if (frame) decoder.frame(frame);
  }
  return pieces.join("");
}

function answerText(reply: Reply): string {
  const answer = reply.answer();
  return answer ? Array.from(unfold(answer), wordsIn).join("") : "";
}

function wordsIn(event: Event): string {
  return event.type === "text" || event.type === "reasoning" || event.type === "input" || event.type === "refusal" ? event.text : "";
}
