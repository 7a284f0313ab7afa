import { CARRIED_MARK } from "../../canon/index.ts";

/**
 * Thought signatures are bytes, which travel as base64: clients that decode them choke on anything else. So what the gateway sealed for a
 * client to carry is written as base64, too.
 */
export function encodeCarried(carried: string): string {
  return btoa(carried);
}

/** What every sealed text begins with, as far as base64 of the mark alone decides it. */
const CARRIED_BASE64 = btoa(CARRIED_MARK).slice(0, Math.floor((CARRIED_MARK.length * 8) / 6));

export function isCarried(signature: string): boolean {
  return signature.startsWith(CARRIED_BASE64) && decodeCarried(signature) !== undefined;
}

/** Undefined when the signature was not sealed here. */
export function decodeCarried(signature: string): string | undefined {
  if (!signature.startsWith(CARRIED_BASE64)) return undefined;
  try {
    const text = atob(signature);
    return text.startsWith(CARRIED_MARK) ? text : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What takes the place of a signature that was never there. Newer models refuse a function call of the turn at hand without one; this
 * value tells them that the call was not theirs. Source: Gemini API, "Thought signatures", on histories of other models.
 */
export const NO_SIGNATURE = "skip_thought_signature_validator";

/** Models that look for signatures: all but those of the first two generations. */
export function checksSignatures(model: string): boolean {
  return !/gemini-[12](?:\.|-|$)|gemma|learnlm/.test(model);
}
