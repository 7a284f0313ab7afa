import { textOf, type Alias, type Call, type Dialect, type JsonObject } from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import { ModelScorer } from "../routing/complexity.ts";
import { factsOf } from "./facts.ts";
import type { LiveCall } from "./live.ts";
import type { Reader } from "./reader.ts";
import type { CallRequest } from "./request.ts";
import { callOf, operationOf, type GatewayDeps, type Run } from "./run.ts";

/** An answer of one number needs no more, even of a model that thinks first. */
const ANSWER_TOKENS = 512;
const MOST_ANSWER_BYTES = 1024 * 1024;

/** The model that is to rate the call before it is planned; undefined for nearly every call. */
export function mustRate(deps: GatewayDeps, run: Run): Alias["complexity"] {
  const { snapshot, caller, model } = run;
  if (!caller || snapshot.aliases.get(model)?.complexity === undefined || operationOf(run) !== "generate") return undefined;
  run.facts ??= factsOf(deps, run, caller);
  return deps.planner.wantsRating({ snapshot, model, facts: run.facts });
}

/** Has a model say how demanding the call is: a call of the same caller, through the same pipeline, with a row of its own. */
export async function rate(deps: GatewayDeps, run: Run, { model, timeoutMs }: NonNullable<Alias["complexity"]>): Promise<void> {
  const { facts } = run;
  const call = facts && readable(run);
  // Whoever can read what cannot be read here will say what is wrong with it.
  if (!call) return;
  const ask = (_model: string, text: string, signal: AbortSignal): Promise<string> => askModel(deps, run, model, text, signal);
  facts.complexity = await new ModelScorer({ ask, model, timeoutMs, clock: deps.clock }).score(call, facts.inputTokens);
  run.wake = undefined;
}

function readable(run: Run): Call | undefined {
  try {
    return callOf(run);
  } catch {
    return undefined;
  }
}

/** One question to one model on behalf of a call. Rejects when it is not answered. */
function askModel(deps: GatewayDeps, run: Run, model: string, text: string, signal: AbortSignal): Promise<string> {
  const { dialect } = run.request;
  const door = dialect.doors.find(
    ({ does, params }) => does.kind === "call" && does.operation === "generate" && params?.["stream"] === undefined,
  );
  if (door?.does.kind !== "call") return Promise.reject(new Error(`${dialect.title} has no door for a call`));
  const question: Call = {
    operation: "generate",
    origin: { dialect: "none" },
    model,
    stream: false,
    items: [{ type: "message", role: "user", parts: [{ type: "text", text }] }],
    tools: [],
    sampling: {},
    maxOutputTokens: ANSWER_TOKENS,
    store: false,
    native: {},
    touched: new Set(),
  };
  const { body } = dialect.encodeCall(question, { provider: "gimbal", model, capabilities: {} }, () => {});
  const request: CallRequest = {
    dialect,
    door: { ...door, does: door.does },
    headers: passedOn(run, { rates: run.live.id }),
    params: { model, ...door.params },
    peer: run.request.peer,
    own: true,
    readBody: () => Promise.resolve(new TextEncoder().encode(body)),
  };
  return new Promise((resolve, reject) => {
    const reader = new AnswerReader(dialect, resolve, reject);
    const live: LiveCall = deps.open(request, reader);
    const leave = (): void => live.stop({ kind: "cancelled", message: "Nobody waits for this rating any longer." });
    signal.addEventListener("abort", leave);
    // The client left: then nobody needs the rating either.
    run.wake = leave;
    if (run.stopped) leave();
  });
}

/** Headers of a call that the gateway makes for another: those of the other but its wishes, and metadata of its own. */
export function passedOn({ request }: Run, metadata: JsonObject | undefined): Record<string, string | undefined> {
  const headers = Object.entries(request.headers).filter(([name]) => !name.startsWith("x-gimbal-") && name !== "idempotency-key");
  return { ...Object.fromEntries(headers), ...(metadata && { "x-gimbal-metadata": JSON.stringify(metadata) }) };
}

/** Waits for a whole answer and reads its text. */
class AnswerReader implements Reader {
  readonly #dialect: Dialect;
  readonly #resolve: (text: string) => void;
  readonly #reject: (error: Error) => void;

  constructor(dialect: Dialect, resolve: (text: string) => void, reject: (error: Error) => void) {
    this.#dialect = dialect;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  whole(status: number, _headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    if (status > 299 || body.length > MOST_ANSWER_BYTES) return this.#reject(new Error(`it was answered with status ${status}`));
    try {
      const { items } = this.#dialect.decodeAnswer(parseJson(body.toString()) ?? null, { operation: "generate" });
      this.#resolve(items.map((item) => (item.type === "message" ? textOf(item.parts) : "")).join(""));
    } catch (error) {
      this.#reject(error instanceof Error ? error : new Error("it cannot be read"));
    }
  }
  head(): void {}
  frames(): boolean {
    return true;
  }
  /** After a whole answer this changes nothing. */
  end(): void {
    this.#reject(new Error("it was not answered"));
  }
}
