import { EventStreamCodec } from "@smithy/eventstream-codec";
import { describe, expect, it } from "vitest";
import { readMessage } from "../../../src/dialects/bedrock-converse/event-message.ts";
import { eventMessages } from "../../../src/dialects/bedrock-converse/framing.ts";
import { SeededRandomness } from "../../../src/kit/index.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** The SDK's own reader and writer, by which ours are held to the specification. */
const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === "string" ? bytes : decoder.decode(bytes)),
  (text) => encoder.encode(text),
);
const random = new SeededRandomness(7);
const some = (length: number): string =>
  Array.from({ length }, () => String.fromCodePoint(32 + Math.floor(random.number() * (random.number() < 0.2 ? 0xd000 : 90)))).join("");

describe("a message of the binary stream", () => {
  it("is written as the SDK writes it, byte for byte", () => {
    for (let length = 0; length < 300; length += 7) {
      const data = JSON.stringify({ text: some(length) });
      for (const event of ["contentBlockDelta", "throttlingException"]) {
        const kind = event.endsWith("Exception") ? "exception" : "event";
        const theirs = codec.encode({
          headers: {
            [`:${kind}-type`]: { type: "string", value: event },
            ":content-type": { type: "string", value: "application/json" },
            ":message-type": { type: "string", value: kind },
          },
          body: encoder.encode(data),
        });
        expect(Buffer.from(eventMessages.format(event, data))).toEqual(Buffer.from(theirs));
        expect(eventMessages.parse(theirs)).toEqual({ event, data });
      }
    }
  });

  it("may have headers of every type, in any order", () => {
    const frame = codec.encode({
      headers: {
        a: { type: "boolean", value: true },
        b: { type: "boolean", value: false },
        c: { type: "byte", value: 7 },
        d: { type: "short", value: 7 },
        e: { type: "integer", value: 7 },
        f: { type: "binary", value: encoder.encode("bytes") },
        g: { type: "timestamp", value: new Date(1_763_720_000_000) },
        h: { type: "uuid", value: "a0a1a2a3-b0b1-c0c1-d0d1-e0e1e2e3e4e5" },
        ":message-type": { type: "string", value: "event" },
        ":event-type": { type: "string", value: "ünusual" },
      },
      body: encoder.encode("{}"),
    });
    expect(eventMessages.parse(frame)).toEqual({ event: "ünusual", data: "{}" });
  });

  it("is none with any of its bytes changed, or fewer or more of them", () => {
    const frame = eventMessages.format("metadata", '{"usage":{}}');
    for (let at = 0; at < frame.length; at++) {
      const changed = Uint8Array.from(frame);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      expect(readMessage(changed), `byte ${at}`).toBeUndefined();
      expect(readMessage(frame.subarray(0, at)), `${at} bytes`).toBeUndefined();
    }
    expect(readMessage(Buffer.concat([frame, Buffer.from([0])]))).toBeUndefined();
    expect(readMessage(frame)).toBeDefined();
  });
});
