/** Signals that ask a program to end. */
const ENDING = ["SIGTERM", "SIGINT"];
/** A repetition within this time is the same request, told by two messengers; a later one is a person who lost patience. */
const REPETITION_MS = 1000;

/**
 * Lets a signal that arrives twice count once. A signal to a whole process group reaches the program directly and again through npm or the
 * launcher, which pass it on; the second would end a program that is just draining. Without a handler of the program's own a signal does
 * what it always does.
 */
export function countSignalsOnce() {
  for (const signal of ENDING) {
    let handledAt = Number.NEGATIVE_INFINITY;
    const own = () => {
      const now = performance.now();
      if (process.listenerCount(signal) > 1) handledAt = now;
      else if (now - handledAt > REPETITION_MS) {
        process.off(signal, own);
        process.kill(process.pid, signal);
      }
    };
    process.prependListener(signal, own);
  }
}
