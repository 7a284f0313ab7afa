import type { Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";

const MIB = 1024 * 1024;
const BAR_SIGNS = 30;
/** The bar is drawn anew at most so often. */
const DRAW_MS = 200;

/** Drawn on standard error; nothing with `--json`. */
export function progressBar(input: Input, deps: CliDeps): { draw(done: number, total: number | undefined): void; end(): void } {
  if (input.json) return { draw: () => {}, end: () => {} };
  const start = deps.clock.monotonic();
  let drawnAt = -Infinity;
  return {
    draw(done, total) {
      const now = deps.clock.monotonic();
      if (now - drawnAt < DRAW_MS && done !== total) return;
      drawnAt = now;
      const rate = done / MIB / Math.max((now - start) / 1000, 0.001);
      const filled = total ? Math.round((done / total) * BAR_SIGNS) : 0;
      const bar = total
        ? `[${"#".repeat(filled)}${".".repeat(BAR_SIGNS - filled)}] ${((done / total) * 100).toFixed(0).padStart(3)}% `
        : "";
      deps.err(`\r${bar}${(done / MIB).toFixed(1)} MiB, ${rate.toFixed(1)} MiB/s`);
    },
    end: () => (drawnAt === -Infinity ? undefined : deps.err("\n")),
  };
}
