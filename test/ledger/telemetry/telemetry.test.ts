import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/kit/index.ts";
import { Exposition, Logs, logsOptions, Telemetry, telemetryOptions, type OtlpOptions } from "../../../src/ledger/telemetry/index.ts";
import { rowOf } from "./rows.ts";

const PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const options = (change: object = {}) => telemetryOptions.parse({ otlp: { endpoint: "http://one.example" }, ...change });

function setUp(change: object = {}) {
  const clock = new ManualClock();
  const opened: string[] = [];
  const sent: string[] = [];
  const telemetry = new Telemetry({
    clock,
    logs: new Logs(() => {}, clock, logsOptions.parse({})),
    node: "node_1",
    options: options(change),
    isListed: () => true,
    providerName: (name) => name,
    sender: ({ endpoint, headers }: OtlpOptions) => {
      opened.push(`${endpoint} ${headers["k"]?.reveal() ?? ""}`.trim());
      return {
        send: (body) => (sent.push(`${endpoint} ${body.split('"spanId"').length - 1}`), Promise.resolve({ status: 200 })),
        close: async () => {},
      };
    },
  });
  const page = (): string => {
    const exposition = new Exposition();
    telemetry.write(exposition);
    return exposition.text();
  };
  return { telemetry, opened, sent, page };
}

describe("changed options", () => {
  it("leave the way to the collector alone where it stays the same", () => {
    const { telemetry, opened } = setUp();
    telemetry.configure(options());
    expect(opened).toEqual(["http://one.example"]);
  });
  it("take the new way for new calls; those that wait go the old one, and counts go on", async () => {
    const { telemetry, opened, sent, page } = setUp();
    telemetry.called(rowOf(), undefined);
    telemetry.configure(options({ otlp: { endpoint: "http://two.example", headers: { k: "a" } } }));
    telemetry.configure(options({ otlp: { endpoint: "http://two.example", headers: { k: "b" } } }));
    expect(opened).toEqual(["http://one.example", "http://two.example a", "http://two.example b"]);
    telemetry.called(rowOf(), undefined);
    await telemetry.close();
    expect(sent).toEqual(["http://one.example 2", "http://two.example 2"]);
    expect(page()).toContain("gimbal_telemetry_exported_total 2\n");
  });
  it("end the export", async () => {
    const { telemetry, sent } = setUp();
    telemetry.configure(telemetryOptions.parse({}));
    telemetry.called(rowOf(), undefined);
    await telemetry.close();
    expect(sent).toEqual([]);
  });
});

describe("samples", () => {
  it("are of traces that begin here; a caller's own is as it says", async () => {
    const { telemetry, page } = setUp({ sample: 0.2 });
    for (let each = 0; each < 1000; each++) telemetry.called(rowOf({ callId: `call_01k${each}` }), undefined);
    const waiting = Number(/gimbal_telemetry_queue (\d+)/.exec(page())?.[1]);
    expect(waiting).toBeGreaterThan(140);
    expect(waiting).toBeLessThan(260);
    telemetry.called(rowOf(), PARENT);
    expect(page()).toContain(`gimbal_telemetry_queue ${waiting + 1}\n`);
    telemetry.called(rowOf(), PARENT.replace(/01$/, "00"));
    expect(page()).toContain(`gimbal_telemetry_queue ${waiting + 1}\n`);
    await telemetry.close();
  });
  it("send no header for a call that is not in them", () => {
    const { telemetry } = setUp({ sample: 0 });
    expect(telemetry.traceparent("call_1", undefined, "lab", 1, undefined)).toBeUndefined();
    expect(telemetry.traceparent("call_1", PARENT, "lab", 1, undefined)).toMatch(
      /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/,
    );
  });
});

describe("the options", () => {
  it.each([
    { endpoint: "ftp://collector" },
    { endpoint: "http://user:secret@collector" },
    { endpoint: "http://collector", headers: { "a b": "c" } },
    { endpoint: "http://collector", headers: { a: "c\r\nx: y" } },
    { endpoint: "http://collector", more: 1 },
  ])("refuse %j", (otlp) => expect(telemetryOptions.safeParse({ otlp }).success).toBe(false));
  it("never print a header", () => {
    expect(JSON.stringify(options({ otlp: { endpoint: "http://collector", headers: { authorization: "hush" } } }))).not.toContain("hush");
  });
});
