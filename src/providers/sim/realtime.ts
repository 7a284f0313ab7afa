import {
  NO_USAGE,
  type Clock,
  type Dialect,
  type JsonObject,
  type Problem,
  type Randomness,
  type RealtimeCall,
  type RealtimeHandle,
  type RealtimeLanguage,
  type RealtimeProvider,
  type RealtimeSink,
} from "../../canon/index.ts";

/** A token is four characters here, as in all of the simulator. */
const CHARACTERS_PER_TOKEN = 4;

interface SessionDeps {
  readonly dialects: ReadonlyMap<string, Dialect>;
  readonly clock: Clock;
  readonly randomness: Randomness;
}

/** The simulator's sessions: a model of any name that it has says again what it was told. Undefined where no language holds sessions. */
export function simSessions(deps: SessionDeps, has: (model: string) => boolean): RealtimeProvider | undefined {
  const languages = [...deps.dialects.values()].flatMap(({ id, realtime }) => (realtime ? [[id, realtime] as const] : []));
  if (languages.length === 0) return undefined;
  const spoken = new Map(languages);
  return {
    dialects: [...spoken.keys()],
    open(call, sink) {
      const language = spoken.get(call.dialect);
      if (language && has(call.model)) return new Session(language, call, deps, sink);
      const problem: Problem = { kind: "upstream_rejected", status: 404, message: `The simulator holds no sessions with "${call.model}".` };
      const cancel = deps.clock.after(0, () => sink.onClose(problem));
      return { send() {}, buffered: 0, pause() {}, resume() {}, close: cancel };
    },
  };
}

/** One session. It answers in later turns of the event loop, as a socket would. */
class Session implements RealtimeHandle {
  readonly buffered = 0;
  readonly #language: RealtimeLanguage;
  readonly #deps: SessionDeps;
  readonly #sink: RealtimeSink;
  readonly #said: string[] = [];
  /** Of everything said so far: each answer reads it again. */
  #characters = 0;
  #waiting: JsonObject[] = [];
  #paused = false;
  #due = false;
  #over = false;

  constructor(language: RealtimeLanguage, { model }: RealtimeCall, deps: SessionDeps, sink: RealtimeSink) {
    this.#language = language;
    this.#deps = deps;
    this.#sink = sink;
    deps.clock.after(0, () => {
      if (this.#over) return;
      sink.onOpen();
      this.#tell(language.host.greet(model, this.#unique()));
    });
  }

  send(text: string): void {
    if (this.#over) return;
    const { host } = this.#language;
    const heard = host.hear(JSON.parse(text) as JsonObject, this.#unique());
    this.#tell(heard.replies);
    if (heard.said !== undefined) {
      this.#said.push(heard.said);
      this.#characters += heard.said.length;
    }
    if (!heard.asks) return;
    const words = this.#said.at(-1) ?? "";
    const input = Math.ceil(this.#characters / CHARACTERS_PER_TOKEN);
    const output = Math.ceil(words.length / CHARACTERS_PER_TOKEN);
    this.#characters += words.length;
    this.#tell(host.answer(words, { ...NO_USAGE, inputUncached: input, output }, this.#unique()));
  }
  pause(): void {
    this.#paused = true;
  }
  resume(): void {
    this.#paused = false;
    this.#deliver();
  }
  close(): void {
    this.#over = true;
    this.#waiting = [];
  }

  #tell(messages: readonly JsonObject[]): void {
    this.#waiting.push(...messages);
    this.#deliver();
  }

  #deliver(): void {
    if (this.#due || this.#paused || this.#waiting.length === 0) return;
    this.#due = true;
    this.#deps.clock.after(0, () => {
      this.#due = false;
      while (!this.#paused && !this.#over) {
        const next = this.#waiting.shift();
        if (!next) return;
        this.#sink.onMessage(JSON.stringify(next));
      }
    });
  }

  #unique(): string {
    return this.#deps.randomness.id("");
  }
}
