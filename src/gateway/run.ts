import type {
  AttemptRecord,
  Call,
  Caller,
  Clock,
  Diagnostic,
  Dialect,
  Guard,
  IdempotencyStore,
  JournalStore,
  LedgerStore,
  LineageStore,
  ModelBook,
  NoteAudit,
  Operation,
  Problem,
  Randomness,
  Shadow,
  Signals,
  Snapshot,
  Task,
} from "../canon/index.ts";
import type { JsonDocument } from "../kit/index.ts";
import type { Alerts } from "../ledger/alerts.ts";
import type { Aside } from "../ledger/aside/index.ts";
import type { Telemetry } from "../ledger/telemetry/index.ts";
import type { Attempt } from "../routing/attempt.ts";
import type { CallFacts } from "../routing/facts.ts";
import type { Health } from "../routing/health/index.ts";
import type { Hedges } from "../routing/hedge.ts";
import type { Plan, Planner } from "../routing/plan.ts";
import type { Retries } from "../routing/retry.ts";
import type { Admission } from "./admission.ts";
import type { Allowance, Allowances } from "./allowance.ts";
import type { TextSeal } from "./carried.ts";
import type { Exchange } from "./exchange.ts";
import type { KeyHold } from "./idempotency.ts";
import type { Journal } from "./journal.ts";
import type { LineageParts } from "./lineage.ts";
import type { LiveCall } from "./live.ts";
import type { Reader } from "./reader.ts";
import type { LiveCalls } from "./live-calls.ts";
import type { Race } from "./race.ts";
import type { Recall, Recalled } from "./recall.ts";
import type { AnswerReport, Reply } from "./reply.ts";
import type { CallRequest, Wishes } from "./request.ts";
import type { Shadows } from "./shadow.ts";
import type { Switches } from "./switches.ts";
import type { Form } from "./task.ts";
import type { Turns } from "./turns.ts";

/** What the pipeline works with; made once by the house. */
export interface GatewayDeps {
  readonly clock: Clock;
  readonly randomness: Randomness;
  /** The configuration in force at this moment. */
  readonly snapshot: () => Snapshot;
  readonly dialects: ReadonlyMap<string, Dialect>;
  readonly ledger: LedgerStore;
  readonly lineage: LineageStore;
  /** Records what is left of calls that are over; without it nothing of their words is. */
  readonly aside?: Aside | undefined;
  readonly book: ModelBook;
  /** What an operator should look at; without it nobody is told. */
  readonly alerts?: Alerts | undefined;
  /** What is told of calls to the outside; without it nothing is. */
  readonly telemetry?: Telemetry | undefined;
  readonly admission: Admission;
  readonly allowances: Allowances;
  readonly planner: Planner;
  readonly health: Health;
  readonly retries: Retries;
  readonly hedges: Hedges;
  readonly turns: Turns;
  readonly live: LiveCalls;
  /** Writes what is new of all running calls to `journal`. */
  readonly spilling: Journal;
  readonly journal: JournalStore;
  readonly idempotency: IdempotencyStore;
  readonly signals: Signals;
  /** Seals what clients carry; without it they are given nothing to carry. */
  readonly seal?: TextSeal | undefined;
  readonly guards: readonly Guard[];
  /** For what is decided and done on the way of a call: policy, approvals, tools. Absent where nothing is audited, as in a rehearsal. */
  readonly note?: NoteAudit | undefined;
  readonly recall: Recall;
  readonly switches: Switches;
  readonly shadows: Shadows;
  /** Makes a call as a surface does: for what the gateway itself asks on a caller's behalf. */
  readonly open: (request: CallRequest, reader: Reader) => LiveCall;
  /** This running gateway's name in open records. */
  readonly node: string;
  /** A defect: logged with the call's id, never shown to the caller. */
  readonly report: (error: unknown, callId: string) => void;
}

/** One call on its way through the pipeline; each verb fills in its part. */
export interface Run {
  readonly live: LiveCall;
  /** Replaced once, where it turns out to be a task; see recast.ts. */
  request: CallRequest;
  /** The configuration the call began with and keeps. */
  readonly snapshot: Snapshot;
  wishes: Wishes;
  caller: Caller | undefined;
  document: JsonDocument | undefined;
  /** The body, where it came as a form; `document` then holds its fields. */
  form: Form | undefined;
  /** What is asked, where that is no conversation; decoded only where something needs it. */
  task: Task | undefined;
  /** The same as the client sent it, before anybody changed it. */
  ownTask: Task | undefined;
  /** Units besides tokens that it may be charged for at most. */
  units: Readonly<Record<string, number>> | undefined;
  /** The request in canonical form; decoded only where something needs it. */
  call: Call | undefined;
  /** What the client sent in this turn, before earlier turns were put in front of it. */
  ownItems: Call["items"] | undefined;
  /** The earlier turn that the client named, after it was filled in. */
  previousId: string | undefined;
  /** The answer's id where the gateway had to name it before the upstream did. */
  promisedId: string | undefined;
  diagnostics: Diagnostic[];
  /** What only others know of where its prompt comes from. */
  lineage: LineageParts | undefined;
  /** Its part in never paying twice, where its alias has a cache. */
  recalled: Recalled | undefined;
  /** The idempotency key that it holds. */
  claim: KeyHold | undefined;
  /** What it holds of budgets and limits; undefined where none covers it. */
  allowance: Allowance | undefined;
  /** What the plan may ask of the call, once anything did. */
  facts: CallFacts | undefined;
  plan: Plan | undefined;
  /** It is to be copied to another target when it is over. */
  shadow: Shadow | undefined;
  model: string;
  stream: boolean;
  /** The caller's cap on the answer. */
  maxOutputTokens: number | undefined;
  /** Answers asked for at once. */
  choices: number;
  /** The service tier that the caller asks for. */
  serviceTier: string | undefined;
  keep: boolean;
  background: boolean;
  /** Only prepares the next turn: no model is asked. */
  warmUp: boolean;
  /** Why the bytes cannot simply pass; undefined: they can. */
  slowReason: string | undefined;
  readyMs: number;
  forwarded: boolean;
  readonly attempts: AttemptRecord[];
  target: { readonly provider: string; readonly model: string } | undefined;
  reply: Reply | undefined;
  report: AnswerReport | undefined;
  problem: Problem | undefined;
  /** Why the call is being stopped; set once by whoever stops it. */
  stopped: Problem | undefined;
  /** The attempt under way. */
  attempt: Attempt | undefined;
  /** The newest that was under way. */
  exchange: Exchange | undefined;
  /** Two attempts are under way, of which one will answer. */
  race: Race | undefined;
  /** Ends a wait between two attempts early. */
  wake: (() => void) | undefined;
}

export function newRun(live: LiveCall, request: CallRequest, snapshot: Snapshot): Run {
  return {
    live,
    request,
    snapshot,
    wishes: { onDisconnect: "cancel" },
    caller: undefined,
    document: undefined,
    form: undefined,
    task: undefined,
    ownTask: undefined,
    units: undefined,
    call: undefined,
    ownItems: undefined,
    previousId: undefined,
    promisedId: undefined,
    diagnostics: [],
    lineage: undefined,
    recalled: undefined,
    claim: undefined,
    allowance: undefined,
    facts: undefined,
    plan: undefined,
    shadow: undefined,
    model: "",
    stream: false,
    maxOutputTokens: undefined,
    choices: 1,
    serviceTier: undefined,
    keep: false,
    background: false,
    warmUp: false,
    slowReason: undefined,
    readyMs: 0,
    forwarded: false,
    attempts: [],
    target: undefined,
    reply: undefined,
    report: undefined,
    problem: undefined,
    stopped: undefined,
    attempt: undefined,
    exchange: undefined,
    race: undefined,
    wake: undefined,
  };
}

export function operationOf(run: Run): Operation {
  return run.request.door.does.operation;
}

/** The request in canonical form. @throws ProblemError invalid_request */
export function callOf(run: Run): Call {
  if (run.call) return run.call;
  const { dialect, headers, params } = run.request;
  const body = run.document?.value ?? {};
  const call = dialect.decodeCall(body, { operation: operationOf(run), headers, params });
  run.call = call;
  run.ownItems = call.items;
  return call;
}

/** Is its stream gone on with when it breaks? */
export function continues(run: Run): boolean {
  const whom = (run.plan?.alias ?? run.snapshot.aliases.get(run.model))?.continue;
  return run.stream && whom !== undefined && whom !== "never" && operationOf(run) === "generate";
}

/** Stops a call once: the upstream is cancelled, a wait ends, and the reason is what the ledger gets. */
export function stop(run: Run, problem: Problem): void {
  if (run.stopped) return;
  run.stopped = problem;
  run.attempt?.cancel(problem);
  run.race?.stop(problem);
  run.wake?.();
}

/** Waits, unless the call is stopped meanwhile. */
export function pause(deps: GatewayDeps, run: Run, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      run.wake = undefined;
      resolve();
    };
    const cancel = deps.clock.after(ms, over);
    run.wake = () => {
      cancel();
      over();
    };
  });
}
