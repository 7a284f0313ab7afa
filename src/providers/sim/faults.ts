import { SeededRandomness } from "../../kit/index.ts";
import type { SimFault, SimModel } from "./options.ts";
import type { Step } from "./step.ts";

/** A fault that strikes one call, with everything about it decided. */
export interface Strike {
  readonly fault: SimFault;
  /** Where in the answer it strikes when the configuration does not say: a fraction of its tokens or bytes. */
  readonly fraction: number;
  readonly reset: boolean;
}

/** Odd constants that spread neighbouring numbers over all seeds. */
const CALL_SPREAD = 0x9e3779b1;
const ATTEMPT_SPREAD = 0x85ebca6b;

/**
 * Which fault strikes, if any: decided by a seed, the number of the call since the simulator began and the number of the
 * attempt, so that the same calls in the same order always fare the same.
 */
export function strikeOf(model: Pick<SimModel, "faults">, seed: number, callNumber: number, attempt: number): Strike | undefined {
  if (model.faults.length === 0) return undefined;
  const random = new SeededRandomness((seed ^ Math.imul(callNumber, CALL_SPREAD) ^ Math.imul(attempt, ATTEMPT_SPREAD)) >>> 0);
  let struck: SimFault | undefined;
  // Every fault draws, also behind one that strikes: adding one at the end changes nothing for those before it.
  for (const fault of model.faults) if (random.number() < fault.share) struck ??= fault;
  if (!struck) return undefined;
  const fraction = 0.1 + 0.8 * random.number();
  const reset = struck.how === undefined ? random.number() < 0.5 : struck.how === "reset";
  return { fault: struck, fraction, reset };
}

/** Does the answer begin well and go wrong on its way? */
export function actsOnBody({ fault }: Strike): boolean {
  return fault.kind === "stall" || fault.kind === "cut" || fault.kind === "garble" || fault.kind === "slow";
}

/** A chunk that no reader can take for a whole one: cut JSON and a byte that is no UTF-8. */
const GARBLED_STREAM = Buffer.concat([Buffer.from('data: {"choices":[{"del'), Buffer.from([0xff, 0xfe]), Buffer.from("\n\n")]);
const GARBLED_BODY = Buffer.concat([Buffer.from('{"}'), Buffer.from([0xff])]);

/** Lets the steps of an answer run into a fault that acts on its body. `totalTokens` and `totalBytes` are 0 where not known. */
export function* struckBy(
  strike: Strike,
  steps: Iterable<Step>,
  stream: boolean,
  total: { readonly tokens: number; readonly bytes: number },
): Generator<Step, void, undefined> {
  const place = placeOf(strike, stream, total);
  let seen = 0;
  let struck = false;
  for (const step of steps) {
    if (step.does !== "write" || struck) {
      yield* struck && strike.fault.kind === "slow" ? slowly(step, strike.fault.byteMs) : [step];
      continue;
    }
    const size = place.unit === "tokens" ? step.tokens : step.bytes.length;
    if (seen + size <= place.after) {
      seen += size;
      yield step;
      continue;
    }
    struck = true;
    const whole = place.unit === "tokens" ? 0 : place.after - seen;
    if (whole > 0) yield { ...step, bytes: step.bytes.subarray(0, whole) };
    if (!(yield* strikes(strike, { ...step, bytes: step.bytes.subarray(whole) }, stream))) return;
  }
  // An answer shorter than the place where it was to break still breaks, before its end.
  if (!struck) yield* strikes(strike, undefined, stream);
}

function placeOf(
  { fault, fraction }: Strike,
  stream: boolean,
  total: { readonly tokens: number; readonly bytes: number },
): { readonly unit: "tokens" | "bytes"; readonly after: number } {
  if (fault.afterBytes !== undefined) return { unit: "bytes", after: fault.afterBytes };
  if (fault.afterTokens !== undefined && stream) return { unit: "tokens", after: fault.afterTokens };
  if (fault.kind === "slow") return { unit: "bytes", after: 0 };
  return stream && total.tokens > 1
    ? { unit: "tokens", after: Math.max(1, Math.floor(total.tokens * fraction)) }
    : { unit: "bytes", after: Math.floor(total.bytes * fraction) };
}

/** What happens at the place. Returns whether the answer goes on after it. */
function* strikes(
  { fault, reset }: Strike,
  rest: Extract<Step, { does: "write" }> | undefined,
  stream: boolean,
): Generator<Step, boolean, undefined> {
  switch (fault.kind) {
    case "stall":
      yield { does: "wait", ms: Infinity };
      return false;
    case "cut":
      if (reset)
        yield {
          does: "break",
          problem: { kind: "upstream_broken", code: "cut", message: "The simulated connection was reset in the middle of the answer." },
        };
      return false;
    case "garble":
      yield { does: "write", tokens: 0, bytes: stream ? GARBLED_STREAM : GARBLED_BODY };
      if (rest) yield rest;
      return true;
    case "slow":
      if (rest) yield* slowly(rest, fault.byteMs);
      return true;
    default:
      if (rest) yield rest;
      return true;
  }
}

function* slowly(step: Step, byteMs: number): Generator<Step, void, undefined> {
  if (step.does !== "write") return yield step;
  for (let at = 0; at < step.bytes.length; at++) {
    yield { does: "wait", ms: byteMs };
    yield { does: "write", tokens: 0, bytes: step.bytes.subarray(at, at + 1) };
  }
}
