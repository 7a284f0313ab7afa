import { NO_USAGE, type ModelBook, type Target } from "../canon/index.ts";
import { operationOf, type Run } from "./run.ts";

/** The most tokens that models which count tokens make of a unit: an image at its largest, a second of sound heard or spoken. */
const TOKENS_PER_IMAGE = 6300;
const TOKENS_PER_SECOND = 25;
/** Characters spoken in a second, at least. */
const LETTERS_PER_SECOND = 8;
const BYTES_PER_TOKEN = 3;

/**
 * The most that one attempt at a task may use. Some models are paid by tokens, others by units (images, seconds, characters, searches): where
 * both have a price, both are held.
 * @param input tokens that the whole body may have
 */
export function taskBoundAt(
  book: Pick<ModelBook, "cost">,
  run: Run,
  { provider, model }: Pick<Target, "provider" | "model">,
  input: number,
  durationMs: number | undefined,
): { readonly nanodollars: number | undefined; readonly tokens: number } {
  const at = run.live.startedAt;
  const { units = {} } = run;
  const { images = 0, audio_seconds: seconds = 0, characters = 0 } = units;
  // A file's bytes are no tokens.
  const words = run.form ? Math.ceil((run.document?.text.length ?? 0) / BYTES_PER_TOKEN) : input;
  const heard = Math.ceil(seconds * TOKENS_PER_SECOND);
  const spoken = Math.ceil((characters / LETTERS_PER_SECOND) * TOKENS_PER_SECOND);
  const shown = run.form ? TOKENS_PER_IMAGE * Math.min(1, images) : 0;
  const usage = { ...NO_USAGE, inputUncached: words + heard + shown, output: images * TOKENS_PER_IMAGE + heard + spoken };
  const byTokens = book.cost(provider, model, usage, at, durationMs);
  const byUnits = Object.keys(units).length === 0 ? undefined : book.cost(provider, model, { ...NO_USAGE, media: units }, at, durationMs);
  const tokens = usage.inputUncached + usage.output;
  if (byTokens !== undefined || byUnits !== undefined) return { nanodollars: (byTokens ?? 0) + (byUnits ?? 0), tokens };
  // What is free has no price of tokens either.
  return { nanodollars: operationOf(run) === "moderate" ? book.cost(provider, model, NO_USAGE, at, durationMs) : undefined, tokens };
}
