import { unfold, type Answer, type AnswerContext, type Dialect, type Event, type Headers, type Problem } from "../../canon/index.ts";
import { eventStream } from "../../kit/index.ts";
import type { SimModel } from "./options.ts";
import type { Step } from "./step.ts";
import { piecesOf, tokensOf } from "./words.ts";

/** Tokens in one event where no speed is set: few enough that a stream is one, many enough that it costs little. */
const BURST_TOKENS = 16;
const SECOND_MS = 1000;

export type ResponseHeaders = Readonly<Record<string, string>>;

export function headersOf(dialect: Dialect, type: string, id: string, more?: ResponseHeaders): ResponseHeaders & Headers {
  return { "content-type": type, ...(dialect.requestIdHeader !== undefined && { [dialect.requestIdHeader]: id }), ...more };
}

/** A whole body of JSON. */
export function* wholeSteps(
  status: number,
  headers: ResponseHeaders,
  body: Buffer,
  waitMs: number,
  tokens: number,
): Generator<Step, void, undefined> {
  yield { does: "wait", ms: waitMs };
  yield { does: "head", status, headers: { ...headers, "content-length": String(body.length) } };
  yield { does: "write", bytes: body, tokens };
}

export function problemSteps(
  dialect: Dialect,
  problem: Problem,
  id: string,
  more?: { readonly status?: number; readonly headers?: ResponseHeaders },
): Iterable<Step> {
  const { status, body } = dialect.encodeProblem(problem, id);
  return wholeSteps(
    more?.status ?? status,
    headersOf(dialect, "application/json", id, more?.headers),
    Buffer.from(JSON.stringify(body)),
    0,
    0,
  );
}

/** How long a whole answer takes: as long as its stream would. */
export function wholeMs(model: SimModel, tokens: number): number {
  return model.ttftMs + (model.tokensPerSecond === undefined ? 0 : (tokens * SECOND_MS) / model.tokensPerSecond);
}

/**
 * A stream of frames. With a speed each token is an event in its own time; without one everything comes at once, in bursts unless
 * `fine` asks for a write for each token.
 */
export function* streamSteps(
  dialect: Dialect,
  model: SimModel & { readonly pieceTokens?: number },
  answer: Answer,
  context: AnswerContext,
  headers: ResponseHeaders,
  fine: boolean,
): Generator<Step, void, undefined> {
  const { format } = dialect.framing ?? eventStream;
  let frames: Uint8Array[] = [];
  const encoder = dialect.encodeEvents((event, data) => void frames.push(format(event, data)), context);
  const tokenMs = model.tokensPerSecond === undefined ? 0 : SECOND_MS / model.tokensPerSecond;
  yield { does: "head", status: 200, headers };
  yield { does: "wait", ms: model.ttftMs };
  let dueMs = 0;
  const pieceTokens = model.pieceTokens ?? (fine || tokenMs > 0 ? 1 : BURST_TOKENS);
  for (const event of unfold(answer)) {
    for (const piece of inPieces(event, pieceTokens)) {
      const tokens = tokensIn(piece);
      if (tokens > 0 && tokenMs > 0) {
        // Whole milliseconds only; what is left over is waited for with a later token.
        dueMs += tokens * tokenMs;
        const ms = Math.floor(dueMs);
        dueMs -= ms;
        if (ms > 0 && frames.length > 0) {
          yield { does: "write", bytes: Buffer.concat(frames), tokens: 0 };
          frames = [];
        }
        yield { does: "wait", ms };
      }
      encoder.event(piece);
      if (frames.length === 0 || tokens === 0) continue;
      yield { does: "write", bytes: Buffer.concat(frames), tokens };
      frames = [];
    }
  }
  if (frames.length > 0) yield { does: "write", bytes: Buffer.concat(frames), tokens: 0 };
}

function* inPieces(event: Event, tokens: number): Generator<Event> {
  if (event.type === "text" || event.type === "refusal" || event.type === "reasoning" || event.type === "input") {
    for (const text of piecesOf(event.text, tokens)) yield { ...event, text };
  } else yield event;
}

function tokensIn(event: Event): number {
  return event.type === "text" || event.type === "refusal" || event.type === "reasoning" || event.type === "input"
    ? tokensOf(event.text)
    : 0;
}
