import {
  PROBLEM_KINDS,
  type Batch,
  type Caller,
  type Dialect,
  type Door,
  type Json,
  type LineOrder,
  type ProblemKind,
} from "../canon/index.ts";
import type { HandedAnswer } from "../gateway/handed.ts";
import type { LiveCall } from "../gateway/live.ts";
import type { Reader } from "../gateway/reader.ts";
import type { CallRequest } from "../gateway/request.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { readRetryAfter } from "../kit/index.ts";

type CallDoor = Door & { readonly does: { readonly kind: "call" } };

/** Where a line's call goes. */
export interface Entrance {
  readonly dialect: Dialect;
  readonly door: CallDoor;
}

/** Operations whose answers are JSON: a batch has no room for sound or forms. */
const OPERATIONS: ReadonlySet<string> = new Set(["generate", "embed", "moderate", "rerank", "image"]);

/** The door that plain requests to this path come in by, of the batch's own language or another; undefined: there is none for batches. */
export function entranceOf(dialects: ReadonlyMap<string, Dialect>, path: string): Entrance | undefined {
  for (const dialect of dialects.values())
    for (const door of dialect.doors)
      if (door.path === path && door.method === "POST" && isCallDoor(door) && OPERATIONS.has(door.does.operation)) return { dialect, door };
  return undefined;
}

function isCallDoor(door: Door): door is CallDoor {
  return door.does.kind === "call";
}

/** What one call came to. */
export interface Called {
  readonly status: number;
  readonly callId: string;
  readonly body: Json;
  /** Undefined: it was answered. */
  readonly problem: ProblemKind | undefined;
  readonly retryAfterMs: number | undefined;
}

export interface CallMarks {
  readonly batch: Batch;
  readonly line: number;
  /** How often the line was asked before, for nothing. */
  readonly tries: number;
  readonly caller: Caller;
}

/** One line as a call of its caller's. */
export function requestOf(
  { dialect, door }: Entrance,
  { customId, body }: LineOrder,
  { batch, caller }: Pick<CallMarks, "batch" | "caller">,
): CallRequest {
  const bytes = Buffer.from(JSON.stringify(body));
  return {
    dialect,
    door,
    headers: {
      ...batch.headers,
      "content-type": "application/json",
      "x-gimbal-session": `batch:${batch.id}`,
      "x-gimbal-metadata": asciiJson({ batch: batch.id, custom_id: customId.slice(0, MARK_CHARACTERS) }),
      "x-gimbal-on-disconnect": "detach",
    },
    params: { ...door.params },
    peer: "batch",
    own: true,
    caller,
    readBody: () => Promise.resolve(bytes),
  };
}

/**
 * Asks what one line asks, by the one pipeline: its row carries the batch, and its idempotency key is the line's own, so that a line whose
 * answer was paid for before a crash is told it again.
 */
export function makeCall(
  deps: GatewayDeps,
  entrance: Entrance,
  order: LineOrder,
  marks: CallMarks,
): { readonly called: Promise<Called>; readonly stop: () => void } {
  const { batch, line, tries } = marks;
  const request = requestOf(entrance, order, marks);
  const headers = { ...request.headers, "x-gimbal-idempotency-key": `batch/${batch.id}/${line}/${tries}` };
  const { live, called } = heard(deps, { ...request, headers });
  return { called, stop: () => live.stop({ kind: "cancelled", message: "The batch was cancelled, or its time is over." }) };
}

/** The answer to one line that came by a batch service, as its caller is told it. Told again, it is booked once. */
export function tellCall(
  deps: GatewayDeps,
  entrance: Entrance,
  order: LineOrder,
  marks: Pick<CallMarks, "batch" | "line" | "caller">,
  answer: Omit<HandedAnswer, "stage" | "callId">,
): Promise<Called> {
  const handed = { ...answer, stage: "answer", callId: `call_${marks.batch.id}_${marks.line}` } as const;
  return heard(deps, { ...requestOf(entrance, order, marks), handed }).called;
}

function heard(deps: GatewayDeps, request: CallRequest): { readonly live: LiveCall; readonly called: Promise<Called> } {
  const answer = new Whole();
  const live = deps.open(request, answer);
  const called = answer.whenWhole.then(({ status, headers, text }): Called => {
    const kind = headers["x-gimbal-problem"];
    return {
      status,
      callId: live.id,
      body: jsonOf(text),
      problem: isKind(kind) ? kind : status < 300 ? undefined : "internal",
      retryAfterMs: readRetryAfter(headers, deps.clock.now()),
    };
  });
  return { live, called };
}

const MARK_CHARACTERS = 256;

/** Headers are ASCII. */
function asciiJson(value: Json): string {
  return JSON.stringify(value).replaceAll(/[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function isKind(kind: string | undefined): kind is ProblemKind {
  return kind !== undefined && Object.hasOwn(PROBLEM_KINDS, kind);
}

function jsonOf(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

interface WholeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Reads an answer to its end. */
class Whole implements Reader {
  readonly whenWhole: Promise<WholeAnswer>;
  #resolve: (answer: WholeAnswer) => void = () => {};
  #head: Pick<WholeAnswer, "status" | "headers"> = { status: 500, headers: {} };
  readonly #frames: Buffer[] = [];

  constructor() {
    this.whenWhole = new Promise((resolve) => (this.#resolve = resolve));
  }
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    this.#resolve({ status, headers, text: body.toString() });
  }
  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.#head = { status, headers };
  }
  frames(frames: readonly Buffer[]): boolean {
    this.#frames.push(...frames);
    return true;
  }
  end(): void {
    this.#resolve({ ...this.#head, text: Buffer.concat(this.#frames).toString() });
  }
  cut(): void {
    this.#resolve({ status: 502, headers: { "x-gimbal-problem": "upstream_broken" }, text: "" });
  }
}
