import type { Call, Caller, JsonObject, Needs, Operation, Target, TaskSupport } from "../canon/index.ts";
import { CallFacts, type FactsSource } from "../routing/facts.ts";
import { remainingUsd } from "./covered.ts";
import { callOf, operationOf, type GatewayDeps, type Run } from "./run.ts";
import { excess } from "./task-limits.ts";

const NO_LABELS: readonly string[] = [];

/** What the plan may ask of a call under way. */
export function factsOf(deps: GatewayDeps, run: Run, caller: Caller): CallFacts {
  return new CallFacts(new RunFacts(deps, run, caller));
}

/** Getters, so that a fact which nobody asks for costs nothing. */
class RunFacts implements FactsSource {
  readonly caller: Caller;
  readonly #deps: GatewayDeps;
  readonly #run: Run;

  constructor(deps: GatewayDeps, run: Run, caller: Caller) {
    this.#deps = deps;
    this.#run = run;
    this.caller = caller;
  }
  get callId(): string {
    return this.#run.live.id;
  }
  get model(): string {
    return this.#run.model;
  }
  get operation(): Operation {
    return operationOf(this.#run);
  }
  get stream(): boolean {
    return this.#run.stream;
  }
  get characters(): number {
    return this.#run.document?.text.length ?? 0;
  }
  get maxOutputTokens(): number | undefined {
    return this.#run.maxOutputTokens;
  }
  get metadata(): JsonObject | undefined {
    return this.#run.wishes.metadata;
  }
  get session(): string | undefined {
    return this.#run.wishes.session;
  }
  get previousId(): string | undefined {
    return this.#run.previousId ?? this.#run.call?.previousId;
  }
  get labels(): readonly string[] {
    return NO_LABELS;
  }
  get at(): number {
    return this.#run.live.startedAt;
  }
  /** Once the call was prepared, earlier turns stand in it that the body does not show. */
  needs(): Needs | undefined {
    const { call, document, request } = this.#run;
    return call ? undefined : document && request.dialect.needs?.(document.value);
  }
  call(): Call {
    return callOf(this.#run);
  }
  excess(support: TaskSupport, target: Pick<Target, "provider" | "model">): string | undefined {
    return excess(this.#deps, this.#run, support, target);
  }
  remainingUsd(): number {
    return remainingUsd(this.#deps, this.#run);
  }
}
