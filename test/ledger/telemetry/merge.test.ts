import { expect, it } from "vitest";
import { CallMetrics } from "../../../src/ledger/telemetry/call-metrics.ts";
import { addGone, Exposition, mergePages, textOf } from "../../../src/ledger/telemetry/index.ts";
import { rowOf } from "./rows.ts";

function pageOf(calls: number, running: number): Exposition {
  const metrics = new CallMetrics(() => true);
  for (let call = 0; call < calls; call++) metrics.called(rowOf());
  const page = new Exposition();
  metrics.write(page);
  page.family("calls_running", "gauge", "Calls under way.").sample(running);
  page.family("target_state", "gauge", "State.").sample(running, { target: "lab/small" });
  page.family("budget_remaining_dollars", "gauge", "Left.", "record").sample(running, { budget: "b" });
  return page;
}

it("adds counters and histograms up, keeps gauges apart, and says once what all say alike", () => {
  const [one, two, dead] = [pageOf(2, 4), pageOf(3, 5), pageOf(10, 6)];
  const text = textOf(
    mergePages(
      [
        { process: "1", families: one.families },
        { process: "2", families: two.families },
      ],
      addGone([], dead.families),
    ),
  );
  const whole = pageOf(15, 0).text();
  // What was counted reads as if one process had counted it all.
  const counted = (page: string): string[] =>
    page.split("\n").filter((line) => /^gimbal_(calls_total|call_seconds|tokens|attempt)/.test(line));
  expect(counted(text)).toEqual(counted(whole));
  expect(counted(text)).not.toEqual([]);
  expect(text).toContain('gimbal_calls_running{process="1"} 4\ngimbal_calls_running{process="2"} 5\n');
  expect(text).toContain('gimbal_target_state{target="lab/small",process="2"} 5\n');
  expect(text).toContain('gimbal_budget_remaining_dollars{budget="b"} 4\n');
  expect(text.match(/budget_remaining_dollars\{/g)).toHaveLength(1);
  expect(text.match(/# TYPE gimbal_calls_total/g)).toHaveLength(1);
});
