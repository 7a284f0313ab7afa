import { describe, expect, it } from "vitest";
import { CallMetrics } from "../../../src/ledger/telemetry/call-metrics.ts";
import { Exposition } from "../../../src/ledger/telemetry/exposition.ts";
import { ATTEMPT, rowOf } from "./rows.ts";

function page(metrics: CallMetrics): string {
  const exposition = new Exposition();
  metrics.write(exposition);
  return exposition.text();
}

describe("what is counted of calls", () => {
  it("counts them by model, provider and end", () => {
    const metrics = new CallMetrics((model) => model === "fast");
    metrics.called(rowOf());
    metrics.called(rowOf());
    metrics.called(
      rowOf({
        state: "failed",
        problem: "upstream_timeout",
        costNanodollars: undefined,
        attempts: [{ ...ATTEMPT, problem: "upstream_timeout" }],
      }),
    );
    const text = page(metrics);
    expect(text).toContain('gimbal_calls_total{model="fast",provider="lab",state="done",problem=""} 2\n');
    expect(text).toContain('gimbal_calls_total{model="fast",provider="lab",state="failed",problem="upstream_timeout"} 1\n');
    expect(text).toContain('gimbal_tokens_total{model="fast",provider="lab",kind="cache_read"} 90\n');
    expect(text).toContain('gimbal_tokens_total{model="fast",provider="lab",kind="input"} 30\n');
    expect(text).toContain('gimbal_reasoning_tokens_total{model="fast",provider="lab"} 9\n');
    expect(text).toContain('gimbal_cost_dollars_total{model="fast",provider="lab"} 0.003\n');
    expect(text).toContain('gimbal_unpriced_calls_total{model="fast",provider="lab"} 1\n');
    expect(text).toContain('gimbal_attempts_total{provider="lab",problem=""} 2\n');
    expect(text).toContain('gimbal_attempts_total{provider="lab",problem="upstream_timeout"} 1\n');
  });

  it("sums up the buckets of how long they took", () => {
    const metrics = new CallMetrics(() => true);
    metrics.called(rowOf());
    metrics.called(rowOf({ timings: { readyMs: 0.2, totalMs: 400_000 } }));
    const text = page(metrics);
    const total = (le: string): string => `gimbal_call_seconds_bucket{model="fast",provider="lab",stage="total",le="${le}"}`;
    expect(text).toContain(`${total("0.05")} 0\n`);
    expect(text).toContain(`${total("0.1")} 1\n`);
    expect(text).toContain(`${total("300")} 1\n`);
    expect(text).toContain(`${total("+Inf")} 2\n`);
    expect(text).toContain('gimbal_call_seconds_count{model="fast",provider="lab",stage="total"} 2\n');
    expect(text).toContain('gimbal_call_seconds_sum{model="fast",provider="lab",stage="total"} 400.053\n');
    expect(text).toContain('gimbal_call_seconds_count{model="fast",provider="lab",stage="first_output"} 1\n');
  });

  it("counts copies apart from calls, and what they cost with the rest", () => {
    const metrics = new CallMetrics(() => true);
    metrics.called(rowOf({ shadow: { of: "call_1", model: "fast", original: { target: "lab/a", totalMs: 1, outputTokens: 1 } } }));
    const text = page(metrics);
    expect(text).toContain('gimbal_calls_total{model="fast",provider="lab",state="done",problem=""} 0\n');
    expect(text).toContain('gimbal_shadow_calls_total{model="fast",provider="lab"} 1\n');
    expect(text).toContain('gimbal_cost_dollars_total{model="fast",provider="lab"} 0.0015\n');
  });

  it("has labels for so many models and no more, whatever callers name", () => {
    const metrics = new CallMetrics((model) => model === "fast");
    for (let each = 0; each < 500; each++)
      metrics.called(rowOf({ model: `wrong-${each}`, state: "failed", problem: "unknown_model", target: undefined, attempts: [] }));
    for (let each = 0; each < 500; each++) metrics.called(rowOf({ model: `lab/right-${each}` }));
    metrics.called(rowOf());
    const text = page(metrics);
    expect(text).not.toContain("wrong-1");
    expect(text).toContain('gimbal_calls_total{model="other",provider="",state="failed",problem="unknown_model"} 500\n');
    expect(text).toContain('gimbal_calls_total{model="other",provider="lab",state="done",problem=""} 400\n');
    expect(text).toContain('gimbal_calls_total{model="fast",provider="lab",state="done",problem=""} 1\n');
    expect(new Set([...text.matchAll(/model="([^"]*)"/g)].map(([, model]) => model)).size).toBe(102);
  });

  it("shares one series when there are too many", () => {
    const metrics = new CallMetrics(() => true);
    for (let each = 0; each < 1200; each++) metrics.called(rowOf({ model: `alias-${each}` }));
    expect(page(metrics)).toContain('gimbal_calls_total{model="other",provider="",state="done",problem=""} 200\n');
  });

  it("never names a caller, a session or what its metadata says", () => {
    const metrics = new CallMetrics(() => true);
    metrics.called(rowOf({ metadata: { user: "ann" } }));
    for (const word of ["ann", "thread-7", "key_1", "search"]) expect(page(metrics)).not.toContain(word);
  });

  it("writes a page that Prometheus reads: each family once, its samples behind it, text escaped", () => {
    const metrics = new CallMetrics(() => true);
    metrics.called(rowOf({ model: 'a "quoted"\\\nname' }));
    const lines = page(metrics).trimEnd().split("\n");
    const families = lines.flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []);
    expect(new Set(families).size).toBe(families.length);
    let family = "";
    for (const line of lines) {
      family = /^# TYPE (\S+)/.exec(line)?.[1] ?? family;
      if (line.startsWith("#")) continue;
      expect(line).toMatch(/^gimbal_[a-z_]+(\{([a-z_]+="(\\.|[^"\\\n])*",?)+\})? -?[0-9.e+-]+$/);
      expect(line.startsWith(family), line).toBe(true);
    }
    expect(lines.join("\n")).toContain(String.raw`model="a \"quoted\"\\\nname"`);
  });
});
