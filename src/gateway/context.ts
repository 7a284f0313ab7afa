import type { AnswerContext } from "../canon/index.ts";
import { callOf, type Run } from "./run.ts";

/** What a client's language needs to know of the call to write its answer. */
export function answerContext(run: Run): AnswerContext {
  return {
    call: callOf(run),
    createdAt: Math.floor(run.live.startedAt / 1000),
    ...(run.promisedId !== undefined && { id: run.promisedId }),
    ...(run.previousId !== undefined && { previousId: run.previousId }),
  };
}
