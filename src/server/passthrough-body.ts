import { ProblemError, type BodyFlow, type BodySource, type Limits, type Problem, type Provider } from "../canon/index.ts";
import type { StreamedRequest } from "../wire/types.ts";

/** Larger bodies, and those whose length nobody said, pass while they come. */
const HELD_BYTES = 64 * 1024;

export interface PassedBody {
  readonly request: StreamedRequest;
  readonly maxBytes: number;
  readonly limits: Pick<Limits, "requestBodyMs">;
  /** So many bytes of it have passed. */
  readonly sent: (bytes: number) => void;
  readonly failed: (problem: Problem) => void;
}

/** Is the body to pass while it comes? Not every provider can send one on so: some sign it. */
export function passesPiecewise({ method, declared }: StreamedRequest, provider: Provider): boolean {
  return provider.uploads === true && method !== "GET" && (declared === undefined || declared > HELD_BYTES);
}

/** The whole body. @throws ProblemError too_large, invalid_request, cancelled */
export function wholeBody({ request, maxBytes, limits }: PassedBody): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    request.readBody({ maxBytes, timeoutMs: limits.requestBodyMs }, (outcome) =>
      outcome.ok ? resolve(outcome.bytes) : reject(new ProblemError(outcome.problem)),
    );
  });
}

/** @throws ProblemError too_large: said before anybody is asked */
export function checkLength({ request: { declared = 0 }, maxBytes }: PassedBody): void {
  if (declared > maxBytes)
    throw new ProblemError({ kind: "too_large", message: `The body of ${declared} bytes is larger than the limit of ${maxBytes} bytes.` });
}

/** A body that is never here as a whole: its client sends as fast as the provider takes. */
export class PassingBody implements BodySource {
  readonly bytes: number | undefined;
  readonly #body: PassedBody;
  #flow: BodyFlow | undefined;

  constructor(body: PassedBody) {
    this.#body = body;
    this.bytes = body.request.declared;
  }

  start(sink: Parameters<BodySource["start"]>[0]): BodyFlow {
    const { request, maxBytes, limits, sent, failed } = this.#body;
    this.#flow = request.streamBody(
      { maxBytes, betweenMs: limits.requestBodyMs },
      {
        onPiece(piece) {
          sent(piece.length);
          return sink.onPiece(piece);
        },
        onEnd: () => sink.onEnd(),
        onProblem(problem) {
          failed(problem);
          sink.onProblem(problem);
        },
      },
    );
    return this.#flow;
  }

  /** The answer is out, or there will be none: what the client still sends is of no use. */
  stop(): void {
    this.#flow?.stop();
  }
}
