import type { Clock, Provider, Target, UpstreamCall, UpstreamHandle, UpstreamSink } from "../canon/index.ts";
import { SeededRandomness } from "../kit/index.ts";
import { simulated, type SimActor, type SimDeps } from "../providers/sim/index.ts";
import { USUAL, type Incident, type Scenario, type TargetNature } from "./options.ts";

/** Events of a stream in a second: enough to cut it anywhere, few enough that an hour of traffic takes seconds. */
const EVENTS_PER_SECOND = 4;
/** All made-up answers begin alike, whoever gives them: so one target can go on where another broke off. */
const TEXT_SEED = 1;
const MARK = /\[answer of (\d+) tokens\]/;
const DEFAULT_TOKENS = 100;

/** What a prompt says so that a simulated model answers at a given length. */
export function lengthMark(tokens: number): string {
  return `[answer of ${tokens} tokens]`;
}

export { TEXT_SEED };

type FaultKind = SimActor["faults"][number]["kind"];

/** Incidents that are faults of the simulator, and which. */
const FAULTS: Readonly<Partial<Record<Incident["kind"], FaultKind>>> = {
  down: "refuse",
  "server-error": "server-error",
  overloaded: "overloaded",
  "rate-limit": "rate-limit",
  "out-of-credit": "out-of-credit",
  stall: "stall",
  cut: "cut",
  garble: "garble",
  empty: "empty",
};

interface Running {
  readonly handle: UpstreamHandle;
  readonly sink: UpstreamSink;
  readonly call: UpstreamCall;
  readonly provider: string;
}

/** Everything outside the gateway: in place of each provider one that bears its name, speaks its languages and has its keys. */
export class World {
  readonly #scenario: Scenario;
  readonly #clock: Clock;
  readonly #sim: SimDeps;
  readonly #seed: number;
  readonly #random: SeededRandomness;
  readonly #running = new Set<Running>();
  /** Clock time at which the scenario began. */
  readonly #began: number;

  constructor(scenario: Scenario, seed: number, sim: SimDeps) {
    this.#scenario = scenario;
    this.#clock = sim.clock;
    this.#sim = sim;
    this.#seed = seed;
    this.#random = new SeededRandomness(seed);
    this.#began = sim.clock.now();
    for (const incident of scenario.incidents) {
      if (incident.kind === "down") sim.clock.after(incident.at, () => this.#breakRunning(incident));
    }
  }

  standIn(real: Provider): Provider {
    const { id, dialects, credentials, capacity } = real;
    const part = simulated(
      {
        id,
        dialects,
        credentials,
        capacity,
        capabilities: (model) => real.capabilities(model),
        modelFor: (call) => this.#actor(id, call),
        names: () => [],
      },
      this.#sim,
    );
    return { ...part, open: (call, sink) => this.#open(id, part, call, sink) };
  }

  /** By how much a target's price differs from the usual, at a time of the clock. */
  priceFactor(provider: string, model: string, at: number): number {
    let factor = 1;
    for (const incident of this.#scenario.incidents) {
      if (incident.kind === "price" && covers(incident, provider, model) && lastsAt(incident, at - this.#began)) factor *= incident.factor;
    }
    return factor;
  }

  #open(provider: string, part: Provider, call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const over = (): void => void this.#running.delete(running);
    const watched: UpstreamSink = {
      onHead: (status, headers) => sink.onHead(status, headers),
      onData: (chunk) => sink.onData(chunk),
      onEnd: () => {
        over();
        sink.onEnd();
      },
      onProblem: (problem) => {
        over();
        sink.onProblem(problem);
      },
    };
    const handle = part.open(call, watched);
    const running: Running = { handle, sink, call, provider };
    this.#running.add(running);
    return {
      cancel: () => {
        over();
        handle.cancel();
      },
      resume: () => handle.resume(),
    };
  }

  /** Whoever goes down takes along what it was saying. */
  #breakRunning(incident: Incident): void {
    for (const one of this.#running) {
      if (!covers(incident, one.provider, one.call.model, one.call.credential) || this.#random.number() >= incident.share) continue;
      this.#running.delete(one);
      one.handle.cancel();
      one.sink.onProblem({ kind: "upstream_broken", code: "down", message: "The simulated server went down in the middle of the answer." });
    }
  }

  #actor(provider: string, call: UpstreamCall): SimActor {
    const nature = natureOf(this.#scenario, { provider, model: call.model });
    const elapsed = this.#clock.now() - this.#began;
    const active = this.#scenario.incidents.filter(
      (incident) => covers(incident, provider, call.model, call.credential) && lastsAt(incident, elapsed),
    );
    let slowness = Math.exp(nature.spread * this.#normal());
    for (const { kind, share, factor } of active) if (kind === "slow" && this.#random.number() < share) slowness *= factor;
    const tokensPerSecond = nature.tokensPerSecond / slowness;
    const pieceTokens = Math.max(1, Math.ceil(tokensPerSecond / EVENTS_PER_SECOND));
    return {
      length: lengthAsked(call),
      // The first piece comes when its last token is there; the time to the first token is meant to be that to the first piece.
      ttftMs: Math.max(0, Math.round(nature.ttft * slowness - (pieceTokens * 1000) / tokensPerSecond)),
      tokensPerSecond,
      pieceTokens,
      seed: TEXT_SEED,
      faults: active.flatMap((incident) => {
        const kind = FAULTS[incident.kind];
        return kind === undefined ? [] : [{ kind, share: incident.share, retryAfterSeconds: incident.retryAfter / 1000, byteMs: 1 }];
      }),
      // Which calls a share of faults strikes is the scenario's chance, not the text's.
      faultSeed: this.#seed ^ hash(`${provider}/${call.model}`),
    };
  }

  /** Box and Muller's transform. */
  #normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.#random.number()));
    return radius * Math.cos(2 * Math.PI * this.#random.number());
  }
}

/** How a target is while nothing is wrong. */
export function natureOf({ targets }: Scenario, { provider, model }: Pick<Target, "provider" | "model">): TargetNature {
  return targets[`${provider}/${model}`] ?? targets[`${provider}/*`] ?? targets["*"] ?? USUAL;
}

/** Does an incident strike calls to a target? One that names a key strikes only calls with that key. */
function covers({ target, key }: Incident, provider: string, model: string, credential?: string): boolean {
  if (key !== undefined && key !== credential) return false;
  return target === "*" || target === provider || target === `${provider}/${model}`;
}

export function lastsAt(incident: Pick<Incident, "at" | "for">, elapsedMs: number): boolean {
  return elapsedMs >= incident.at && elapsedMs < incident.at + (incident.for ?? Number.POSITIVE_INFINITY);
}

function lengthAsked({ request }: UpstreamCall): number {
  const body = typeof request.body === "string" ? request.body : request.body.toString("utf8");
  return Number(MARK.exec(body)?.[1] ?? DEFAULT_TOKENS);
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return value >>> 0;
}
