import { describe, expect, it } from "vitest";
import { ProblemError, type Dialect, type Problem, type Provider, type UpstreamSink } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { Attempt, type BodyReader } from "../../src/routing/attempt.ts";

function setUp(
  options: { readonly stream?: boolean; readonly reader?: Partial<BodyReader>; readonly open?: (sink: UpstreamSink) => void } = {},
) {
  const clock = new ManualClock();
  const state = { cancelled: 0, sink: undefined as UpstreamSink | undefined };
  const provider = {
    id: "p",
    open: (_call: unknown, sink: UpstreamSink) => {
      state.sink = sink;
      options.open?.(sink);
      return { cancel: () => state.cancelled++, resume: () => {} };
    },
  } as unknown as Provider;
  const dialect = {
    decodeProblem: ({ status, text }: { status: number; text: string }): Problem => ({
      kind: "upstream_rejected",
      message: `${status} ${text}`,
    }),
  } as unknown as Dialect;
  const attempt = new Attempt({
    provider,
    dialect,
    clock,
    timeoutMs: 1000,
    betweenDataMs: 100,
    call: {
      dialect: "d",
      operation: "generate",
      model: "m",
      stream: options.stream ?? false,
      attempt: 0,
      request: { method: "POST", path: "/", headers: {}, body: "" },
    },
    read: () => ({ data: () => true, end: () => undefined, ...options.reader }),
  });
  const sink = (): UpstreamSink => {
    if (!state.sink) throw new Error("not opened");
    return state.sink;
  };
  return { attempt, clock, state, sink };
}

describe("an attempt", () => {
  it("is done without a problem when a good answer ended", async () => {
    const { attempt, sink } = setUp();
    sink().onHead(200, {});
    sink().onData(Buffer.from("x"));
    sink().onEnd();
    expect(await attempt.done).toEqual({ status: 200 });
  });

  it("reads an error answer through the dialect, bounded", async () => {
    const { attempt, sink, state } = setUp();
    sink().onHead(400, {});
    for (let piece = 0; piece < 100; piece++) sink().onData(Buffer.alloc(1024, "e"));
    const end = await attempt.done;
    expect(end.problem?.message.length).toBeLessThan(600);
    expect(state.cancelled).toBe(1);
  });

  it("times out before the answer, cancels the upstream and hears nothing more", async () => {
    const { attempt, clock, sink, state } = setUp();
    sink().onHead(200, {});
    clock.advance(999);
    expect(state.cancelled).toBe(0);
    clock.advance(1);
    sink().onEnd();
    expect((await attempt.done).problem?.kind).toBe("upstream_timeout");
    expect(state.cancelled).toBe(1);
  });

  it("does not wait for a connection that stays open behind a whole answer", async () => {
    const { attempt, clock, sink, state } = setUp({ stream: true, reader: { state: "done" } });
    sink().onHead(200, {});
    sink().onData(Buffer.from("all"));
    clock.advance(500);
    sink().onData(Buffer.from("more, which nobody wants"));
    expect(state.cancelled).toBe(0);
    clock.advance(500);
    expect(await attempt.done).toEqual({ status: 200 });
    expect(state.cancelled).toBe(1);
  });

  it("does not blame an upstream that waits for a slow client", async () => {
    const { attempt, clock, sink, state } = setUp({ stream: true, reader: { data: () => false } });
    sink().onHead(200, {});
    attempt.started();
    sink().onData(Buffer.from("x"));
    for (let silence = 0; silence < 20; silence++) clock.advance(90);
    expect(state.cancelled).toBe(0);
    attempt.resume();
    clock.advance(99);
    expect(state.cancelled).toBe(0);
    // Its timer may be up to one period behind its deadline, never more.
    clock.advance(100);
    expect((await attempt.done).problem?.kind).toBe("upstream_timeout");
  });

  it("counts only silence once a stream has begun", async () => {
    const { attempt, clock, sink, state } = setUp({ stream: true });
    sink().onHead(200, {});
    attempt.started();
    for (let piece = 0; piece < 50; piece++) {
      clock.advance(90);
      sink().onData(Buffer.from("x"));
    }
    expect(state.cancelled).toBe(0);
    clock.advance(101);
    expect((await attempt.done).problem?.kind).toBe("upstream_timeout");
  });

  it("turns what its reader throws into its end and stops the upstream", async () => {
    const { attempt, sink, state } = setUp({
      reader: {
        data: () => {
          throw new ProblemError({ kind: "upstream_broken", message: "garbled" });
        },
      },
    });
    sink().onHead(200, {});
    sink().onData(Buffer.from("x"));
    expect((await attempt.done).problem?.message).toBe("garbled");
    expect(state.cancelled).toBe(1);
  });

  it("survives a provider that fails before it returns", async () => {
    const { attempt } = setUp({ open: (sink) => sink.onProblem({ kind: "upstream_unavailable", message: "refused" }) });
    expect((await attempt.done).problem?.kind).toBe("upstream_unavailable");
  });

  it("can be cancelled, once", async () => {
    const { attempt, state } = setUp();
    attempt.cancel({ kind: "cancelled", message: "gone" });
    attempt.cancel({ kind: "internal", message: "again" });
    expect((await attempt.done).problem?.kind).toBe("cancelled");
    expect(state.cancelled).toBe(1);
  });
});
