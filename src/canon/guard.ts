import type { Call } from "./call.ts";
import type { Caller } from "./caller.ts";
import type { Event } from "./event.ts";
import type { Problem } from "./problem.ts";
import type { Task } from "./task.ts";

export type Verdict<T> =
  | { readonly verdict: "allow" }
  | { readonly verdict: "change"; readonly value: T; readonly reason: string }
  | { readonly verdict: "deny"; readonly problem: Problem }
  | { readonly verdict: "ask"; readonly reason: string };

/** Sees a canonical call before it leaves and each event before it is shown. A guard that reads content rules out the fast path. */
export interface Guard {
  readonly id: string;
  readonly readsContent: boolean;
  call?(call: Call, caller: Caller): Verdict<Call> | Promise<Verdict<Call>>;
  /** The same for what is no conversation. A guard without it is shown a task's texts by `call`, as messages that it may change one by one. */
  task?(task: Task, caller: Caller): Verdict<Task> | Promise<Verdict<Task>>;
  event?(event: Event, call: Call): Verdict<Event>;
}
