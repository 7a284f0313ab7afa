import type { Json, JsonObject } from "./json.ts";
import type { UpstreamCall } from "./provider.ts";

/** The service tier of whatever a batch service answered: prices know it by this name. */
export const BATCH_TIER = "batch";

/** What is asked of a batch service beside the calls themselves. */
export type ServiceRequest = UpstreamCall["request"];

/** A batch at its service. */
export interface BatchStanding {
  /** By which the service knows it. */
  readonly id: string;
  /** `ended`: whatever was answered can be read. `refused`: none of it was begun. */
  readonly state: "running" | "ended" | "refused";
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Under which it was submitted; undefined where the service does not say. */
  readonly mark: string | undefined;
  /** Undefined where the service does not say. */
  readonly lines: number | undefined;
  /** Why it was refused. */
  readonly message: string | undefined;
  /** Files that its results are in, where they are in files. */
  readonly files: readonly string[];
  /** What became of every line without a result, where the service says that of the batch and not of each line. */
  readonly rest?: "expired" | "cancelled" | undefined;
}

/** A page of batches. */
export interface StandingList {
  readonly standings: readonly BatchStanding[];
  readonly more: boolean;
  /** How the next page is asked for; absent: by the last batch of this one. */
  readonly next?: string;
  /** The service does not say in which order they come: what is old does not end the search. Absent: newest first. */
  readonly inAnyOrder?: true;
}

/** What became of one line. An answer may be an error. */
export type ServiceResult = { readonly id: string } & (
  | { readonly outcome: "answered"; readonly status: number; readonly body: Json }
  | { readonly outcome: "expired" | "cancelled" }
);

/** Lines of one batch, as they are submitted. */
export interface ServiceOrder {
  /** Unique: by it a batch is found again of which nobody knows whether it arrived. */
  readonly mark: string;
  /** What all its lines have in common. */
  readonly group: string;
  /** Each with its end. */
  readonly lines: Buffer;
  /** The service's name of the lines, where they were sent before. */
  readonly file: string | undefined;
}

/**
 * A provider's own service for many calls that nobody waits for: what is to be sent to it, and how its answers read. No network. What
 * reads answers gives undefined for what is none.
 */
export interface BatchService {
  /** Of one batch. */
  readonly mostLines: number;
  readonly mostBytes: number;
  /** Languages whose calls it takes; absent: whichever a call goes in. */
  readonly dialects?: readonly string[];
  /** Calls that may be in one batch together have the same; undefined: it does not take such a call. */
  groupOf(call: UpstreamCall): string | undefined;
  /** One call, as a line without its end. `id`: letters, digits, `_` and `-`, 64 at most. */
  line(id: string, call: UpstreamCall): string;
  /** Where lines are sent before the batch is made. */
  readonly upload?: {
    send(order: ServiceOrder): ServiceRequest;
    read(answer: JsonObject): string | undefined;
  };
  create(order: ServiceOrder): ServiceRequest;
  look(id: string): ServiceRequest;
  readStanding(answer: JsonObject): BatchStanding | undefined;
  /** Batches of this account. `after`: what the page before says of its next one, or that page's last batch. */
  list(after: string | undefined): ServiceRequest;
  readList(answer: JsonObject, after: string | undefined): StandingList | undefined;
  cancel(id: string): ServiceRequest;
  /** Each is answered with lines of JSON. */
  results(standing: BatchStanding): readonly ServiceRequest[];
  readResult(line: JsonObject): ServiceResult | undefined;
  /** So that nothing of it is kept there. `file`: its lines. */
  forget(standing: BatchStanding, file: string | undefined): readonly ServiceRequest[];
}
