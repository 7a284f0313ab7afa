import * as converse from "../dialects/bedrock-converse/corpus.ts";
import * as cohere from "../dialects/cohere-chat/corpus.ts";
import { recordedCalls, type RecordedCall } from "./recorded-calls.ts";

/** A recorded call of any language; of some only the question or only the answer was recorded, and the other is made up. */
export type RecordedAnywhere = Omit<RecordedCall, "dialect"> & { readonly dialect: string };

const PLAIN = { path: "", headers: {}, stream: false };
const UNANSWERED = { status: 0, answer: "" };

/** Every recorded call whose answer is text, as OpenAI, Anthropic, Bedrock and Cohere answered it; empty where the recordings are absent. */
export function everyRecordedCall(): readonly RecordedAnywhere[] {
  const converseCalls = converse.exchanges.map(({ name, body, status, answer, stream }): RecordedAnywhere => {
    const told = answer === undefined ? UNANSWERED : { status, answer: JSON.stringify(answer) };
    return { ...PLAIN, name, dialect: "bedrock-converse", body, stream: stream !== undefined, ...told };
  });
  const named = new Set(converseCalls.map(({ name }) => name));
  const alone = [
    ...converse.answers
      .filter(({ name }) => !named.has(name))
      .map((answer) => ({
        ...answer,
        dialect: "bedrock-converse",
        asked: { messages: [{ role: "user", content: [{ text: "Go on." }] }] },
      })),
    ...cohere.answers.map((answer) => ({
      ...answer,
      dialect: "cohere-chat",
      asked: { model: "m", messages: [{ role: "user", content: "Go on." }] },
    })),
  ];
  return [
    ...recordedCalls(),
    ...converseCalls,
    ...cohere.requests.map(({ name, body }): RecordedAnywhere => ({ ...PLAIN, ...UNANSWERED, name, dialect: "cohere-chat", body })),
    ...alone.map(({ name, body, dialect, asked }): RecordedAnywhere => ({
      ...PLAIN,
      name,
      dialect,
      body: asked,
      status: 200,
      answer: JSON.stringify(body),
    })),
  ];
}
