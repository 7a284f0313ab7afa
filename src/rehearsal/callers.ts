import { NO_USAGE, type Clock, type Dialect, type EventDecoder, type JsonObject, type Usage } from "../canon/index.ts";
import { eventStream, FrameFeed, parseJson, SeededRandomness } from "../kit/index.ts";
import type { LiveCall } from "../gateway/live.ts";
import type { Reader } from "../gateway/reader.ts";
import type { CallRequest } from "../gateway/request.ts";
import { loremOf, tokensOf } from "../providers/sim/words.ts";
import type { LoadPart, Scenario } from "./options.ts";
import { lengthMark, TEXT_SEED } from "./world.ts";

/** What a caller saw of its call. */
export interface Seen {
  readonly callId: string;
  readonly model: string;
  /** Scenario time at which it called. */
  readonly startedMs: number;
  readonly tookMs: number;
  readonly stream: boolean;
  /** Until the first text of a stream. */
  readonly ttftMs: number | undefined;
  /** `complete`: the whole answer once, properly ended. `damaged`: it ended well, and text was lost, repeated or wrong. */
  readonly outcome: "complete" | "damaged" | "failed" | "left";
  /** Kind of the problem it was told, where it failed. */
  readonly problem: string | undefined;
  /** What one attempt uses that gives the whole answer. */
  readonly undisturbed: Usage;
}

export interface CallersDeps {
  readonly clock: Clock;
  readonly dialects: ReadonlyMap<string, Dialect>;
  readonly open: (request: CallRequest, reader: Reader) => LiveCall;
  /** The key that callers of a part of the mix come with. */
  readonly keyOf: (part: LoadPart) => string;
  readonly onSeen: (seen: Seen) => void;
}

/** More calls than any rehearsal needs; the memory for what callers saw is bounded by it. */
export const MOST_CALLS = 200_000;
/** A caller that calls again as soon as it is answered waits at least this long: one that is refused at once would never stop. */
const PAUSE_MS = 100;
/** Earlier prompts that may be repeated. */
const PROMPTS = 100;
const CHARACTERS_PER_TOKEN = 4;
const PEER = "127.0.0.1";

interface Prompt {
  readonly text: string;
  readonly outputTokens: number;
}

/** Makes the calls of a scenario. */
export class Callers {
  readonly #load: Scenario["load"];
  readonly #deps: CallersDeps;
  readonly #random: SeededRandomness;
  readonly #prompts = new Map<LoadPart, Prompt[]>();
  readonly #weights: number;
  /** Calls made so far. */
  made = 0;
  #running = 0;
  #calling = true;

  constructor({ load, duration }: Scenario, seed: number, deps: CallersDeps) {
    this.#load = load;
    this.#deps = deps;
    this.#random = new SeededRandomness(seed ^ 0x5bd1e995);
    this.#weights = load.mix.reduce((sum, { weight }) => sum + weight, 0);
    for (let caller = 0; caller < (load.concurrency ?? 0); caller++) deps.clock.after(this.#random.number() * PAUSE_MS, () => this.#call());
    if (load.callsPerSecond !== undefined) this.#arrive(load.callsPerSecond);
    deps.clock.after(duration, () => {
      this.#calling = false;
    });
  }

  /** The time for calls is over and every caller has its answer. */
  get done(): boolean {
    return !this.#calling && this.#running === 0;
  }

  /** Arrivals at random: the time between two is distributed exponentially. */
  #arrive(perSecond: number): void {
    this.#deps.clock.after((-Math.log(1 - this.#random.number()) * 1000) / perSecond, () => {
      if (!this.#calling) return;
      this.#call();
      this.#arrive(perSecond);
    });
  }

  #call(): void {
    if (!this.#calling || this.made >= MOST_CALLS) return;
    this.made++;
    this.#running++;
    const { clock, dialects, onSeen } = this.#deps;
    const part = this.#pick();
    const prompt = this.#prompt(part);
    const stream = this.#random.number() < part.stream;
    const dialect = dialectOf(dialects, part.dialect);
    const patience: { stop: () => void } = { stop: () => {} };
    const undisturbed: Usage = { ...NO_USAGE, inputUncached: tokensOf(prompt.text), output: prompt.outputTokens };
    const expected = loremOf(prompt.outputTokens, TEXT_SEED);
    const watcher = new Watcher({ clock, dialect, model: part.model, stream, expected, undisturbed }, (seen) => {
      patience.stop();
      this.#running--;
      onSeen(seen);
      if (this.#load.concurrency !== undefined) clock.after(PAUSE_MS, () => this.#call());
    });
    watcher.sitDown(this.#deps.open(this.#request(dialect, part, prompt, stream), watcher));
    patience.stop = clock.after(this.#load.patience, () => watcher.leave());
  }

  #pick(): LoadPart {
    let left = this.#random.number() * this.#weights;
    for (const part of this.#load.mix) if ((left -= part.weight) < 0) return part;
    const [first] = this.#load.mix;
    if (!first) throw new Error("a mix has at least one part");
    return first;
  }

  #prompt(part: LoadPart): Prompt {
    const known = this.#prompts.get(part) ?? [];
    this.#prompts.set(part, known);
    const repeated = known[Math.floor(this.#random.number() * known.length)];
    if (repeated && this.#random.number() < part.repeatShare) return repeated;
    const outputTokens = this.#between(part.outputTokens);
    const mark = `Call ${this.made}. ${lengthMark(outputTokens)} `;
    const characters = this.#between(part.promptTokens) * CHARACTERS_PER_TOKEN;
    const prompt = { text: mark + "word ".repeat(Math.max(0, Math.ceil((characters - mark.length) / 5))), outputTokens };
    if (part.repeatShare > 0) known[known.length < PROMPTS ? known.length : this.made % PROMPTS] = prompt;
    return prompt;
  }

  #between([least, most]: readonly [number, number]): number {
    return least + Math.floor(this.#random.number() * (most - least + 1));
  }

  #request(dialect: Dialect, part: LoadPart, { text }: Prompt, stream: boolean): CallRequest {
    const doors = dialect.doors.filter(({ does }) => does.kind === "call" && does.operation === "generate");
    // Some languages have a door for streams.
    const door = doors.find(({ params }) => (params?.["stream"] === "true") === stream) ?? doors[0];
    if (door?.does.kind !== "call") throw new Error(`${dialect.title} has no door for a call`);
    const target = { provider: "", model: part.model, capabilities: {} };
    const wire = dialect.encodeCall(
      {
        operation: "generate",
        origin: { dialect: "none" },
        model: part.model,
        stream,
        items: [{ type: "message", role: "user", parts: [{ type: "text", text }] }],
        tools: [],
        sampling: {},
        store: false,
        native: {},
        touched: new Set(),
      },
      target,
      () => {},
    );
    const session = part.sessions === undefined ? undefined : `session-${Math.floor(this.#random.number() * part.sessions)}`;
    return {
      dialect,
      door: { ...door, does: door.does },
      headers: {
        ...wire.headers,
        authorization: `Bearer ${this.#deps.keyOf(part)}`,
        ...(session !== undefined && { "x-gimbal-session": session }),
        ...(part.metadata && { "x-gimbal-metadata": JSON.stringify(part.metadata) }),
      },
      params: { ...Object.fromEntries(new URLSearchParams(wire.path.split("?")[1] ?? "")), model: part.model, ...door.params },
      peer: PEER,
      readBody: () => Promise.resolve(new TextEncoder().encode(wire.body)),
    };
  }
}

/** The one that lists models for everybody else is the one most clients speak. */
export function dialectOf(dialects: ReadonlyMap<string, Dialect>, named: string | undefined): Dialect {
  const found =
    named === undefined ? [...dialects.values()].find((dialect) => dialect.encodeModels && !dialect.answersModels) : dialects.get(named);
  if (!found) throw new Error(`There is no wire language "${named ?? ""}".`);
  return found;
}

interface Watching {
  readonly clock: Clock;
  readonly dialect: Dialect;
  readonly model: string;
  readonly stream: boolean;
  /** The text that a whole answer holds. */
  readonly expected: string;
  readonly undisturbed: Usage;
}

/** A client that reads its answer as carefully as possible: every piece of text must be the next of those expected. */
class Watcher implements Reader {
  readonly #watching: Watching;
  readonly #onSeen: (seen: Seen) => void;
  readonly #decoder: EventDecoder;
  readonly #feed: FrameFeed;
  readonly #startedMs: number;
  #live: LiveCall | undefined;
  #ttftMs: number | undefined;
  #read = 0;
  #wrong = false;
  #ended = 0;
  #problem: string | undefined;
  #over = false;

  constructor(watching: Watching, onSeen: (seen: Seen) => void) {
    this.#watching = watching;
    this.#onSeen = onSeen;
    this.#startedMs = watching.clock.monotonic();
    this.#decoder = watching.dialect.decodeEvents((event) => {
      if (event.type === "text") this.#text(event.text);
      else if (event.type === "done") this.#ended++;
      else if (event.type === "problem") this.#problem = event.problem.kind;
    }, {});
    this.#feed = new FrameFeed(this.#decoder, (watching.dialect.framing ?? eventStream).parse);
  }

  sitDown(live: LiveCall): void {
    this.#live = live;
  }

  /** Its patience is at an end. */
  leave(): void {
    if (this.#over) return;
    this.#conclude("left");
    this.#live?.detach(this);
  }

  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    if (status !== 200) {
      this.#problem = headers["x-gimbal-problem"] ?? String(status);
      return this.#conclude("failed");
    }
    const json = parseJson(typeof body === "string" ? body : body.toString("utf8")) as JsonObject;
    const answer = this.#watching.dialect.decodeAnswer(json, { operation: "generate" });
    for (const item of answer.items) {
      if (item.type === "message") for (const part of item.parts) if (part.type === "text") this.#text(part.text);
    }
    this.#ended++;
    this.#conclude(this.#isWhole() ? "complete" : "damaged");
  }
  head(): void {}
  frames(frames: readonly Buffer[]): boolean {
    for (const frame of frames) this.#feed.frame(frame);
    return true;
  }
  end(): void {
    const told = this.#problem;
    // Of some languages the stream's end is all there is to its last frame.
    this.#decoder.end();
    if (told !== undefined || this.#ended === 0) {
      this.#problem = told ?? "no end";
      return this.#conclude("failed");
    }
    this.#conclude(this.#isWhole() ? "complete" : "damaged");
  }

  #text(text: string): void {
    this.#ttftMs ??= this.#watching.clock.monotonic() - this.#startedMs;
    if (!this.#watching.expected.startsWith(text, this.#read)) this.#wrong = true;
    this.#read += text.length;
  }

  #isWhole(): boolean {
    return !this.#wrong && this.#read === this.#watching.expected.length && this.#ended === 1;
  }

  #conclude(outcome: Seen["outcome"]): void {
    if (this.#over) return;
    this.#over = true;
    const { clock, model, stream, undisturbed } = this.#watching;
    // A call may be refused before `open` has returned: then its id comes with the next turn.
    const tookMs = clock.monotonic() - this.#startedMs;
    const tell = (): void =>
      this.#onSeen({
        callId: this.#live?.id ?? "",
        model,
        startedMs: this.#startedMs,
        tookMs,
        stream,
        ttftMs: stream ? this.#ttftMs : undefined,
        outcome,
        problem: outcome === "failed" ? this.#problem : undefined,
        undisturbed,
      });
    if (this.#live) tell();
    else queueMicrotask(tell);
  }
}
