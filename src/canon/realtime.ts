import type { JsonObject } from "./json.ts";
import type { Problem } from "./problem.ts";
import type { Usage } from "./usage.ts";

/** What a client's message means to whoever only passes it on. */
export interface ClientWord {
  /** Names of the tools that it offers. */
  readonly tools: readonly string[];
  /** It wants an answer. */
  readonly asks: boolean;
  /** A model that is to write down what is heard, by its provider's name. */
  readonly transcriber?: string;
  /** To be sent in place of what came, where that must be changed; a message that is only sound passes as it is. */
  readonly instead?: JsonObject;
}

/** What a provider's message means to whoever only passes it on. */
export interface ServerWord {
  /** An answer has begun, is over, or was asked for in vain. */
  readonly answer?: "begins" | "ends" | "refused";
  /** What was used since the last time that it was said. */
  readonly usage?: Usage;
  /** The usage is the transcriber's, not the session's own model's. */
  readonly transcribed?: true;
  /** About so many tokens of an answer whose usage is not said yet. */
  readonly outputTokens?: number;
}

/** What a simulated provider makes of a client's message. */
export interface Heard {
  readonly replies: readonly JsonObject[];
  /** What was said, in words. */
  readonly said?: string;
  /** An answer is wanted. */
  readonly asks: boolean;
}

/** How sessions over a socket are spoken: one JSON object a message. Pure, like its dialect. */
export interface RealtimeLanguage {
  /** Paths of the client's door. */
  readonly paths: readonly string[];
  /** How the subprotocol begins in which a browser, which can set no header, sends its key. */
  readonly keyProtocol?: string;
  /** The model that the address names, empty where it fails to; undefined: in this language the first message does. */
  modelAsked(params: Readonly<Record<string, string>>): string | undefined;
  /** @throws ProblemError invalid_request */
  modelIn?(first: JsonObject): string;
  /** Where a session with a model is opened, relative to the provider's base URL. */
  address(model: string, params: Readonly<Record<string, string>>): string;
  /** @param model as its provider calls it. @throws ProblemError invalid_request: it asks for what a session cannot change */
  client(message: JsonObject, model: string): ClientWord;
  server(message: JsonObject): ServerWord;
  /** The message that tells of a failure. */
  problem(problem: Problem, callId: string): string;
  /** The provider's side, for the simulator. `unique`: letters and digits, other ones each time. */
  readonly host: {
    greet(model: string, unique: string): readonly JsonObject[];
    hear(message: JsonObject, unique: string): Heard;
    answer(text: string, usage: Usage, unique: string): readonly JsonObject[];
  };
}

/** A session as a provider is asked for it. */
export interface RealtimeCall {
  readonly dialect: string;
  readonly model: string;
  /** Relative to the base URL, with its query. */
  readonly path: string;
  readonly credential?: string;
  /** Bytes of one message of the provider. */
  readonly maxMessageBytes: number;
}

/** Where a session's messages go. `onClose` comes once, and nothing after it. */
export interface RealtimeSink {
  onOpen(): void;
  onMessage(text: string): void;
  /** Undefined: it was closed as it should be. */
  onClose(problem: Problem | undefined): void;
}

export interface RealtimeHandle {
  send(text: string): void;
  /** Bytes accepted by `send` that have not left yet. */
  readonly buffered: number;
  pause(): void;
  resume(): void;
  /** Ends the session; no sink method is called afterwards. */
  close(): void;
}

/** A provider's sessions. */
export interface RealtimeProvider {
  /** Languages in which they are held. */
  readonly dialects: readonly string[];
  open(call: RealtimeCall, sink: RealtimeSink): RealtimeHandle;
}
