import { describe, expect, it } from "vitest";
import { ProblemError, type Event, type Json, type JsonObject } from "../../../src/canon/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import { SeededRandomness } from "../../../src/kit/index.ts";
import { readCorpus } from "./corpus.ts";

const { requests, answers, streams } = readCorpus();
const door = { operation: "generate", headers: {}, params: {} } as const;
const ODD: readonly Json[] = [null, true, 0, -1, 1e99, "", "x", [], [null], {}, { type: 5 }, [[["x"]]], "\u0000\ud800"];

/** The same value with one place of it replaced by something of another type. */
function spoil(value: Json, random: SeededRandomness): Json {
  const odd = (): Json => ODD[Math.floor(random.number() * ODD.length)] ?? null;
  if (typeof value !== "object" || value === null || random.number() < 0.08) return odd();
  const keys = Object.keys(value);
  const key = keys[Math.floor(random.number() * keys.length)];
  if (key === undefined) return odd();
  if (Array.isArray(value)) return (value as readonly Json[]).map((entry, at) => (String(at) === key ? spoil(entry, random) : entry));
  const object = value as JsonObject;
  return { ...object, [key]: spoil(object[key] ?? null, random) };
}

/** What is thrown other than a refusal in words. */
function defects(action: () => unknown): unknown {
  try {
    action();
    return undefined;
  } catch (error) {
    return error instanceof ProblemError && error.problem.message !== "" ? undefined : error;
  }
}

describe.skipIf(requests.length === 0)("spoiled traffic", () => {
  it("requests are refused in words or accepted, and what is accepted can be sent", () => {
    const random = new SeededRandomness(11);
    for (const { name, value } of requests) {
      for (let round = 0; round < 20; round++) {
        const body = spoil(value, random);
        const act = (): unknown => {
          if (typeof body !== "object" || body === null || Array.isArray(body)) return undefined;
          chat.outline(body as JsonObject, door);
          chat.forwardCall(body as JsonObject, door, { provider: "p", model: "m", capabilities: { instructionsRole: "system" } });
          const call = chat.decodeCall(body as JsonObject, door);
          return chat.encodeCall(call, { provider: "p", model: "m", capabilities: {} }, () => {});
        };
        expect([name, body, defects(act)]).toEqual([name, body, undefined]);
      }
    }
  });

  it("answers are refused in words or decoded", () => {
    const random = new SeededRandomness(12);
    const call = chat.decodeCall({ model: "m", messages: [] }, door);
    for (const { name, value } of answers) {
      for (let round = 0; round < 20; round++) {
        const body = spoil(value, random);
        const act = (): unknown => {
          if (typeof body === "object" && body !== null && !Array.isArray(body)) chat.readAnswer(body as JsonObject);
          return chat.encodeAnswer(chat.decodeAnswer(body, { operation: "generate" }), { call, createdAt: 1 });
        };
        expect([name, body, defects(act)]).toEqual([name, body, undefined]);
      }
    }
  });

  it("streams end in exactly one terminal event, and the meter survives them", () => {
    const random = new SeededRandomness(13);
    for (const { name, value } of streams) {
      const frames = value.split("\n\n").flatMap((frame) => (frame.startsWith("data: ") ? [frame.slice(6)] : []));
      for (let round = 0; round < 20; round++) {
        const at = Math.floor(random.number() * (frames.length - 1));
        const spoiled = frames.map((frame, place) => (place === at ? JSON.stringify(spoil(JSON.parse(frame) as Json, random)) : frame));
        const events: Event[] = [];
        const decoder = chat.decodeEvents((event) => events.push(event), { provider: "p" });
        for (const data of spoiled) decoder.frame({ data });
        decoder.end();
        const ends = events.filter((event) => event.type === "done" || event.type === "problem");
        expect([name, spoiled[at], ends.length, events.at(-1) === ends[0]]).toEqual([name, spoiled[at], 1, true]);
        const meter = chat.usageFrames({ withholdUsage: false });
        for (const data of spoiled) meter.frame(Buffer.from(`data: ${data}\n\n`));
        meter.usage();
      }
    }
  });
});
