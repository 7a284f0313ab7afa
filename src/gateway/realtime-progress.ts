import { totalInput } from "../canon/index.ts";
import type { GatewayDeps, Run } from "./run.ts";
import type { SessionUsage } from "./realtime-usage.ts";

/** What a gateway that is killed loses of a session at most, and how often one writes at most. */
const KEEP_MS = 1000;

/**
 * Keeps what a session has used so far with its open record, so that its row says it even where nobody is left to settle it: all tokens, and
 * what it holds of its budgets.
 */
export class SessionProgress {
  readonly #deps: GatewayDeps;
  readonly #run: Run;
  readonly #usage: SessionUsage;
  #stopTimer: (() => void) | undefined;
  #isOver = false;

  constructor(deps: GatewayDeps, run: Run, usage: SessionUsage) {
    this.#deps = deps;
    this.#run = run;
    this.#usage = usage;
  }

  /** It has used more. */
  changed(): void {
    if (!this.#isOver) this.#stopTimer ??= this.#deps.clock.after(KEEP_MS, () => this.#keep());
  }

  stop(): void {
    this.#isOver = true;
    this.#stopTimer?.();
  }

  #keep(): void {
    this.#stopTimer = undefined;
    const { live, allowance } = this.#run;
    const { own, heard } = this.#usage;
    const tokens = [own, heard].reduce((sum, usage) => (usage ? sum + totalInput(usage) + usage.output : sum), 0);
    this.#deps.ledger
      .progress({ callId: live.id, inputEstimate: tokens, ...(allowance && { holds: allowance.held() }) })
      .catch((error: unknown) => this.#deps.report(error, live.id));
  }
}
