import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/kit/index.ts";
import { Exporter, noExports, type ExporterOptions, type SendOutcome } from "../../../src/ledger/telemetry/exporter.ts";
import { rowOf } from "./rows.ts";

const CALL = { row: rowOf(), parent: undefined };

/** A collector that answers in order, the last answer again and again; `hang` answers nothing. */
function setUp(answers: readonly (SendOutcome | "hang")[], change: Partial<ExporterOptions> = {}) {
  const clock = new ManualClock();
  const counts = noExports();
  const logs: string[] = [];
  const sent: number[] = [];
  const exporter = new Exporter({
    clock,
    counts,
    words: { semconv: "v1.41", providerName: (name) => name },
    service: "gimbal",
    node: "node_1",
    batchCalls: 4,
    queueCalls: 10,
    everyMs: 1000,
    log: (line) => logs.push(line),
    sender: {
      send: (body) => {
        const spans = (JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: unknown[] }[] }[] }).resourceSpans[0]?.scopeSpans[0]
          ?.spans;
        sent.push((spans?.length ?? 0) / 2);
        const answer = answers[Math.min(sent.length, answers.length) - 1];
        return answer === undefined || answer === "hang" ? new Promise(() => {}) : Promise.resolve(answer);
      },
      close: async () => {},
    },
    ...change,
  });
  const add = (count: number): void => {
    for (let each = 0; each < count; each++) exporter.add(CALL);
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  };
  const advance = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await settle();
  };
  return { exporter, counts, logs, sent, add, advance, settle };
}

const OK: SendOutcome = { status: 200 };

describe("the exporter", () => {
  it("sends after a second what came in it, together", async () => {
    const { add, advance, sent, counts } = setUp([OK]);
    add(3);
    await advance(999);
    expect(sent).toEqual([]);
    await advance(1);
    expect(sent).toEqual([3]);
    expect(counts).toMatchObject({ exported: 3, full: 0, unreachable: 0, refused: 0 });
  });

  it("sends at once when a batch is full, and never inside the call", async () => {
    const { add, advance, sent } = setUp([OK]);
    add(6);
    expect(sent).toEqual([]);
    await advance(0);
    expect(sent).toEqual([4, 2]);
  });

  it("drops and counts what a hanging collector leaves no room for", async () => {
    const { add, advance, sent, counts, exporter } = setUp(["hang"]);
    add(4);
    await advance(0);
    expect(sent).toEqual([4]);
    add(25);
    expect(exporter.waiting).toBe(10);
    expect(counts.full).toBe(15);
  });

  it("tries again what may be tried again, as late as the collector wishes", async () => {
    const { add, advance, sent, counts, logs } = setUp([{ status: 503, retryAfterMs: 5000 }, { status: undefined, reason: "refused" }, OK]);
    add(1);
    await advance(1000);
    await advance(4999);
    expect(sent).toEqual([1]);
    await advance(1);
    expect(sent).toEqual([1, 1]);
    await advance(2000);
    expect(sent).toEqual([1, 1, 1]);
    expect(counts).toMatchObject({ exported: 1, unreachable: 0 });
    expect(logs).toEqual([expect.stringContaining("HTTP 503"), "Telemetry is exported again."]);
  });

  it("gives up after five tries, and goes on with what came later", async () => {
    const { add, advance, sent, counts } = setUp([
      { status: undefined },
      { status: undefined },
      { status: undefined },
      { status: undefined },
      { status: undefined },
      OK,
    ]);
    add(1);
    for (let second = 0; second < 20; second++) await advance(1000);
    expect(sent).toHaveLength(5);
    expect(counts).toMatchObject({ exported: 0, unreachable: 1 });
    add(2);
    await advance(1000);
    expect(counts).toMatchObject({ exported: 2, unreachable: 1 });
  });

  it("does not send again what the collector refuses", async () => {
    const { add, advance, sent, counts } = setUp([{ status: 400 }, { status: 200, rejectedSpans: 1 }]);
    add(2);
    await advance(1000);
    expect(counts).toMatchObject({ exported: 0, refused: 2 });
    add(2);
    await advance(1000);
    expect(sent).toHaveLength(2);
    expect(counts).toMatchObject({ exported: 1, refused: 3 });
  });

  it("sends what is left when it is closed, and takes nothing more", async () => {
    const { add, sent, counts, exporter } = setUp([OK]);
    add(6);
    await exporter.close();
    expect(sent).toEqual([4, 2]);
    add(1);
    expect(counts).toMatchObject({ exported: 6, full: 1 });
  });

  it("closes within seconds though the collector hangs, and counts what was lost", async () => {
    const { add, advance, settle, counts, exporter } = setUp(["hang"]);
    add(6);
    let closed = false;
    void exporter.close().then(() => (closed = true));
    await settle();
    expect(closed).toBe(false);
    await advance(3000);
    expect(closed).toBe(true);
    expect(counts.unreachable).toBe(6);
  });
});
