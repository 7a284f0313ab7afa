import type { Json, JsonObject } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { cleanWords } from "../shared-problems.ts";
import { isList, isObject, object, text } from "./shape.ts";

/** Faults of single fields that one message names. */
const MAX_DETAILS = 8;

/** Where vendors put their error: below `error`, first of `errors`, or at the top. */
export function errorOf(body: Json | undefined): JsonObject | undefined {
  if (!isObject(body)) return isList(body) ? errorOf(body[0]) : undefined;
  if (isObject(body["error"])) return body["error"];
  const { errors } = body;
  const first = isList(errors) ? errors[0] : undefined;
  return isObject(first) ? first : body;
}

/** Vendors number their errors, or name them. */
export function codeOf(error: JsonObject | undefined): string | undefined {
  const code = error?.["code"];
  return typeof code === "number" ? String(code) : (text(code) ?? text(error?.["type"]));
}

/** The vendor's own words, wherever it puts them. What was sent is never repeated: these words are logged. */
export function said(body: Json | undefined, error: JsonObject | undefined): string | undefined {
  const words = wordsOf(body, error);
  const behind = wordsBehind(error);
  if (words === undefined && behind === undefined) return undefined;
  return cleanWords([words, behind].filter((part) => part !== undefined).join(" "));
}

function wordsOf(body: Json | undefined, error: JsonObject | undefined): string | undefined {
  const message = error?.["message"];
  return (
    text(message) ??
    (isObject(body) ? text(body["error"]) : undefined) ??
    detailsOf(error?.["detail"]) ??
    (isObject(message) ? detailsOf(message["detail"]) : undefined)
  );
}

/** `[{ loc, msg, input }]`: the place and what is wrong there. `input` is what the caller wrote. */
function detailsOf(detail: Json | undefined): string | undefined {
  if (!isList(detail)) return text(detail);
  const faults = detail.slice(0, MAX_DETAILS).flatMap((fault) => {
    if (!isObject(fault)) return text(fault) ?? [];
    const place = isList(fault["loc"]) ? fault["loc"].filter((step) => typeof step !== "object").join(".") : "";
    const words = text(fault["msg"]) ?? text(fault["message"]) ?? "";
    return place === "" ? words : `${place}: ${words}`;
  });
  return faults.length > 0 ? faults.join("; ") : undefined;
}

/** A router of other providers says who failed and, as text or as JSON in a text, with which words; or why it would not send the request on. */
function wordsBehind(error: JsonObject | undefined): string | undefined {
  const metadata = object(error?.["metadata"]);
  if (!metadata) return undefined;
  const who = text(metadata["provider_name"]);
  const raw = text(metadata["raw"]);
  const parsed = raw === undefined ? undefined : parseJson(raw);
  const words = parsed === undefined ? raw : wordsOf(parsed, errorOf(parsed));
  const reasons = isList(metadata["reasons"]) ? metadata["reasons"].filter((reason) => typeof reason === "string").join(", ") : undefined;
  const told = words ?? (reasons === undefined || reasons === "" ? undefined : `flagged for ${reasons}`);
  if (told === undefined) return who === undefined ? undefined : `(${who})`;
  return `(${who === undefined ? "" : `${who}: `}${told})`;
}

/** Did the vendor refuse what the request says, though its status is that of a refused key? */
export function isFlagged(error: JsonObject | undefined): boolean {
  const metadata = object(error?.["metadata"]);
  return metadata !== undefined && (isList(metadata["reasons"]) || metadata["flagged_input"] !== undefined);
}

/**
 * The error that a good answer, a chunk or the first choice of either carries. `x_groq.error` says in a text why a stream was stopped
 * early. Undefined where there is none.
 */
export function carriedError(body: JsonObject): JsonObject | undefined {
  const error = body["error"];
  if (error !== undefined && error !== null) return isObject(error) || typeof error === "string" ? body : { error: JSON.stringify(error) };
  const stopped = text(object(body["x_groq"])?.["error"]);
  if (stopped !== undefined) return { error: { message: stopped } };
  const { choices } = body;
  const first = isList(choices) ? object(choices[0]) : undefined;
  const ofChoice = first?.["error"];
  return isObject(ofChoice) ? { error: ofChoice } : undefined;
}
