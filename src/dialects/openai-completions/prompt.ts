import { ProblemError, textOf, type Call, type Diagnostic, type EncodeTarget, type Item, type Part } from "../../canon/index.ts";
import { refuseEmptyConversation, refuseForeignTurn, refuseKeptPrompt, UserTurns } from "../shared-lost.ts";

type Note = (diagnostic: Diagnostic) => void;

/** What a conversation becomes for a model that only goes on with a text. */
export interface Transcript {
  readonly prompt: string;
  /** The text is a conversation: what begins the user's next turn ends the answer. */
  readonly stop?: string;
}

const USER = "User:";
const ASSISTANT = "Assistant:";

/**
 * One text without standing instructions is sent as it is. Everything else is told as a conversation that breaks off where the model is to
 * speak; what is no text in it is lost with a note, and a turn that is nothing else is refused.
 * @throws ProblemError unsupported
 */
export function transcriptOf(call: Call, target: EncodeTarget, note: Note): Transcript {
  refuseKeptPrompt(call, target);
  refuseForeignTurn(call.items, () => false, target);
  refuseTools(call, target);
  const turns = new UserTurns(target);
  const told: { readonly who: "user" | "assistant" | "system"; readonly text: string }[] = [];
  const instructions = [...(call.instructions?.parts ?? []).map((part) => part.text), ...instructionsFor(call, note)];
  if (instructions.length > 0) told.push({ who: "system", text: instructions.join("\n\n") });
  for (const item of call.items) {
    const text = wordsOf(item, note);
    if (text === undefined) continue;
    if (item.type !== "message" || item.role === "user") {
      if (item.type === "message") turns.message(item.parts, [text]);
      told.push({ who: "user", text });
    } else {
      if (item.role === "assistant") turns.end();
      told.push({ who: item.role === "assistant" ? "assistant" : "system", text });
    }
  }
  turns.end();
  if (told.length === 0) refuseEmptyConversation(call.items, target);
  const [only] = told;
  if (told.length === 1 && only?.who === "user") return { prompt: only.text };
  note({ field: "items[]", action: "degraded", reason: "The language knows no roles: the conversation is told as one text." });
  const lines = told.map(({ who, text }) => (who === "system" ? text : `${who === "user" ? USER : ASSISTANT} ${text}`));
  const prompt = told.at(-1)?.who === "assistant" ? lines.join("\n\n") : `${lines.join("\n\n")}\n\n${ASSISTANT}`;
  return { prompt, stop: `\n${USER}` };
}

/** @throws ProblemError unsupported */
function refuseTools(call: Call, target: EncodeTarget): void {
  const offered = call.tools.length > 0 && call.toolChoice?.type !== "none";
  const used = call.items.some((item) => item.type === "tool_call" || item.type === "tool_result");
  if (!offered && !used) return;
  throw new ProblemError({
    kind: "unsupported",
    message: `"${target.provider}/${target.model}" only goes on with a text and knows no tools. Send the call to a model that is spoken to in a language that has them.`,
    code: "tools_unsupported",
  });
}

function instructionsFor({ output }: Call, note: Note): string[] {
  const format = output?.format;
  if (!format || format.type === "text") return [];
  note({ field: "output.format", action: "degraded", reason: "The language has no form of output; the model is told of it." });
  if (format.type !== "json_schema") return ["Answer with one JSON object and nothing else."];
  return [`Answer with one JSON value that matches this JSON Schema, and nothing else:\n${JSON.stringify(format.schema)}`];
}

/** Undefined for what is left out. */
function wordsOf(item: Item, note: Note): string | undefined {
  switch (item.type) {
    case "message":
      for (const part of item.parts) notePart(part, note);
      return textOf(item.parts) + item.parts.map((part) => (part.type === "file" ? (part.text ?? "") : "")).join("");
    case "compaction":
      if (item.text !== undefined)
        note({ field: "items[].compaction", action: "degraded", reason: "The summary of earlier turns is told as the user's words." });
      else
        note({ field: "items[].compaction", action: "dropped", reason: "A compaction that only its own provider can read is left out." });
      return item.text;
    case "reasoning":
      note({ field: "items[].reasoning", action: "dropped", reason: "Reasoning is shown again only to the provider that wrote it." });
      return undefined;
    case "unknown":
      note({ field: "items[].unknown", action: "dropped", reason: `An item of type "${item.kind}" exists only in its own language.` });
      return undefined;
    case "tool_call":
    case "tool_result":
      return undefined;
  }
}

function notePart(part: Part, note: Note): void {
  if (part.cacheTtlSeconds !== undefined)
    note({ field: "items[].cacheTtlSeconds", action: "dropped", reason: "The language has no breakpoints for a prompt cache." });
  if (part.type === "refusal")
    note({ field: "items[].parts[].refusal", action: "degraded", reason: "The language has no refusal part; its words are sent as text." });
  else if (part.type === "file" && part.text !== undefined)
    note({ field: "items[].parts[].file", action: "degraded", reason: "A plain text file is sent as text." });
  else if (part.type !== "text")
    note({ field: `items[].parts[].${part.type}`, action: "dropped", reason: "The language carries text only." });
}
