import type { Capabilities, Headers, WireRequest } from "./dialect.ts";
import type { BatchService } from "./batch-service.ts";
import type { Operation } from "./call.ts";
import type { Problem } from "./problem.ts";
import type { RealtimeProvider } from "./realtime.ts";
import type { ModelServer } from "./server.ts";
import type { TaskOperation, TaskSupport } from "./task.ts";

/** A request as a provider gets it: already in the provider's language. */
export interface UpstreamCall {
  readonly dialect: string;
  readonly operation: Operation;
  /** The provider's own name of the model. */
  readonly model: string;
  readonly stream: boolean;
  /** Content type of its streams, where they are not server-sent events. */
  readonly accepts?: string;
  readonly request: Omit<WireRequest, "body"> & { readonly body: string | Buffer };
  /** The body where it comes piece by piece; that of `request` is then empty. Only for providers with `uploads`. */
  readonly upload?: BodySource;
  /** A seed-like number unique to this attempt; the simulator repeats a run exactly with it. */
  readonly attempt: number;
  /** Id of the credential to use; absent or unknown to the provider: its first. */
  readonly credential?: string;
}

/** Takes a body piece by piece. After `onEnd` or `onProblem` nothing more comes. */
export interface BodySink {
  /** False: no more until `resume`. */
  onPiece(piece: Buffer): boolean;
  onEnd(): void;
  onProblem(problem: Problem): void;
}

export interface BodyFlow {
  /** Goes on after `onPiece` returned false. */
  resume(): void;
  /** Nobody wants the rest; nothing more is told. */
  stop(): void;
}

/** A body that is there only while it passes. */
export interface BodySource {
  /** Undefined: not known before its end. */
  readonly bytes: number | undefined;
  /** Once. The sink may be told something before this returns. */
  start(sink: BodySink): BodyFlow;
}

/** One of a provider's keys, by an id that is no secret (`lab#2`), and what may run on it. */
export interface Credential {
  readonly id: string;
  /** Share of the attempts it takes while all are well. */
  readonly weight: number;
  /** Attempts begun in any minute. */
  readonly requestsPerMinute?: number;
  /** Attempts running at once. */
  readonly concurrency?: number;
}

/** Attempts that may run at once. Absent: as many as come. */
export interface Capacity {
  /** Over all models of the provider. */
  readonly concurrency?: number;
  /** Of single models, by the provider's own names. */
  readonly models?: ReadonlyMap<string, number>;
}

/** Where a provider's answer goes. After `onEnd` or `onProblem` nothing more comes; exactly one of them comes. */
export interface UpstreamSink {
  /** Header names in lower case. */
  onHead(status: number, headers: Headers): void;
  /** The bytes of the body, already without content encoding. The sink may keep the buffer. Returning false asks for a pause until `resume`. */
  onData(chunk: Buffer): boolean;
  /** The body ended as HTTP says it should. Whether the answer is whole is for the dialect to say. */
  onEnd(): void;
  /** Refused, reset, timed out: nothing or only part of the body came. */
  onProblem(problem: Problem): void;
}

export interface UpstreamHandle {
  /** Stops the upstream at once; no sink method is called afterwards. */
  cancel(): void;
  /** Goes on after `onData` returned false. */
  resume(): void;
}

/** Somewhere models run. A provider never retries and never logs: it reports. */
export interface Provider {
  /** The name in the configuration: the part of `provider/model` before the first slash. */
  readonly id: string;
  /** Ids of the dialects it speaks, preferred first. A client's own dialect wins when it is among them. */
  readonly dialects: readonly string[];
  /** Its keys, in the order of the configuration; empty or absent where it needs none. */
  readonly credentials?: readonly Credential[];
  readonly capacity?: Capacity;
  /** The tasks that it takes; absent: none. */
  readonly tasks?: { readonly [O in TaskOperation]?: TaskSupport };
  /** Its own service for batches; absent: none. */
  readonly batches?: BatchService;
  /** Takes bodies piece by piece (`UpstreamCall.upload`). */
  readonly uploads?: true;
  /** Its sessions over a socket; absent: none. */
  readonly realtime?: RealtimeProvider;
  /** The server that it is, where that tells of itself; absent: it does not. */
  readonly server?: ModelServer;
  capabilities(model: string): Capabilities;
  open(call: UpstreamCall, sink: UpstreamSink): UpstreamHandle;
  /** Models it offers, where it can be asked cheaply; empty when it cannot. */
  models(signal: AbortSignal): Promise<readonly string[]>;
  /** For `doctor`: is it there and does it accept the credentials? */
  check(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly detail: string }>;
  close(): Promise<void>;
}
