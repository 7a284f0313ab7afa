import { describe, expect, it } from "vitest";
import type { HandedPart, ServiceRequest, UpstreamCall, UpstreamSink } from "../../src/canon/index.ts";
import { PartRun, type PartRunDeps } from "../../src/batches/part.ts";

const part: HandedPart = {
  mark: "gb1",
  provider: "p",
  model: "m",
  dialect: "d",
  group: "g",
  lines: [[1, 2]],
  state: "sending",
  sentAt: 0,
};
const get = (path: string): ServiceRequest => ({ method: "GET", path, headers: {}, body: "" });

/** A part of which the record says at the nth change that somebody else has its batch. */
function running(lostAtChange: number): { readonly run: PartRun; readonly asked: string[] } {
  const asked: string[] = [];
  let changes = 0;
  let waits = 0;
  const provider = {
    batches: {
      create: () => get("/create"),
      look: () => get("/look"),
      list: () => get("/list"),
      readStanding: () => ({ id: "b", state: "running", createdAt: 1, files: [] }),
      readList: () => ({ standings: [], more: false }),
    },
    open({ request }: UpstreamCall, sink: UpstreamSink) {
      asked.push(request.path);
      queueMicrotask(() => {
        sink.onHead(200, {});
        sink.onData(Buffer.from("{}"));
        sink.onEnd();
      });
      return { cancel() {}, resume() {} };
    },
  };
  const gateway = { clock: { now: () => 0, monotonic: () => 0 }, snapshot: () => ({ providers: new Map([["p", provider]]) }) };
  const deps = {
    gateway,
    batch: () => ({ handed: [part] }),
    stopped: () => (changes >= lostAtChange ? "lost" : undefined),
    wait: async () => {
      if (++waits > 20) throw new Error("it goes on");
    },
    isDone: () => false,
    killed: () => undefined,
    change: async () => void changes++,
  } as unknown as PartRunDeps;
  return { run: new PartRun(deps, part, Buffer.from("1\n2\n"), new Map()), asked };
}

describe("an order", () => {
  it("is not sent by whoever has lost its batch by then", async () => {
    const { run, asked } = running(1);
    expect(await run.run()).toBe("over");
    expect(asked).toEqual([]);
  });

  it("is sent by whoever has it, and looked after no more once it is lost", async () => {
    const { run, asked } = running(2);
    expect(await run.run()).toBe("over");
    expect(asked).toEqual(["/create"]);
  });
});
