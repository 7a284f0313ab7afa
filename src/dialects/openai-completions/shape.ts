import { textOf, type Call, type Origin } from "../../canon/index.ts";

/** The dialect's id. */
export const ID = "openai-completions";
export const ORIGIN: Origin = { dialect: ID };
export const OBJECT = "text_completion";
/** The data of the frame behind the last. */
export const DONE = "[DONE]";

/** What an answer begins with for a client of this language that wants its prompt back; otherwise nothing. */
export function echoed(call: Call): string {
  if (call.origin.dialect !== ID || call.native["echo"] !== true) return "";
  return call.items.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join("");
}
