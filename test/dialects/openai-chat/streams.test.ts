import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  type Answer,
  type AnswerContext,
  type Call,
  type Event,
  type FrameMeter,
  type FrameRole,
  type JsonObject,
} from "../../../src/canon/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import { formatFrame, FrameSplitter, SeededRandomness } from "../../../src/kit/index.ts";
import { badCuts, byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";
import { readCorpus } from "./corpus.ts";

const { streams } = readCorpus();
const call: Call = chat.decodeCall(
  { model: "m", messages: [], stream: true, stream_options: { include_usage: true } },
  { operation: "generate", headers: {}, params: {} },
);
const context: AnswerContext = { call, createdAt: 1 };

function* inTwo(bytes: Uint8Array, at: number): Generator<Uint8Array> {
  yield bytes.subarray(0, at);
  yield bytes.subarray(at);
}

const DECODED_CUTS = 8;

function fold(events: readonly Event[]): AnswerFold {
  const folded = new AnswerFold({ dialect: chat.id, provider: "recorded" });
  for (const event of events) folded.event(event);
  return folded;
}

function meterOf(stream: string, withholdUsage = false): { meter: FrameMeter; roles: FrameRole[]; kept: string } {
  const meter = chat.usageFrames({ withholdUsage });
  const splitter = new FrameSplitter(1 << 25);
  const roles: FrameRole[] = [];
  let kept = "";
  splitter.push(Buffer.from(stream), (frame) => {
    const role = meter.frame(frame as Buffer);
    roles.push(role);
    if (role !== "withhold") kept += Buffer.from(frame).toString();
  });
  return { meter, roles, kept };
}

/** The stream's whole message by the official client. */
async function accumulated(stream: string): Promise<JsonObject> {
  const lines = stream.split("\n").flatMap((line) => (line.startsWith("data: ") && line !== "data: [DONE]" ? [`${line.slice(6)}\n`] : []));
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const line of lines) controller.enqueue(new TextEncoder().encode(line));
      controller.close();
    },
  });
  return JSON.parse(JSON.stringify(await ChatCompletionStream.fromReadableStream(body).finalChatCompletion())) as JsonObject;
}

/** What the answer says, without how it was written. */
function essence(answer: Answer): unknown {
  return {
    id: answer.id,
    model: answer.model,
    stop: answer.stop,
    usage: answer.usage,
    items: answer.items.map(({ raw: _raw, envelope: _envelope, ...item }) => item),
  };
}

const decoded = streams.map(({ name, value }) => {
  const events = decodeStream(chat, [Buffer.from(value)]);
  return { name, value, events, folded: fold(events) };
});
const good = decoded.filter(({ folded }) => !folded.problem);
const failed = decoded.filter(({ folded }) => folded.problem);

/** Streams that the official client itself can read: no lists of content, a finish reason, one id, calls numbered from 0. */
const official = good.filter(
  ({ value, folded }) =>
    folded.answer().stopNative !== undefined &&
    folded.id !== "" &&
    !value.includes('"content":[') &&
    !value.includes('"id":"stub"') &&
    /"tool_calls":\[\{"index":(\d)/.exec(value)?.[1] !== "1",
);

/** What it accumulates of them by other rules: it keeps the newest of lists that it does not know, and calls by index alone. */
const alike = official.filter(
  ({ value, folded }) =>
    folded.items().findIndex((item) => item.type === "reasoning") <= 0 &&
    !value.includes('"reasoning_details":[{') &&
    !value.includes('"annotations":[{') &&
    !/"id":"call_[a-z0-9]+"[^]*"id":""/.test(value),
);

function reencode(events: readonly Event[]): string {
  let encoded = "";
  const encoder = chat.encodeEvents((event, data) => (encoded += formatFrame(event, data)), context);
  for (const event of events) encoder.event(event);
  return encoded;
}

describe.skipIf(streams.length === 0)("recorded streams", () => {
  it("are told in the order that the canonical form promises", () => {
    for (const { name, events } of good) {
      const types = events.map((event) => event.type);
      expect([name, types.filter((type) => type === "done" || type === "problem")]).toEqual([name, ["done"]]);
      expect([name, types[0]]).toEqual([name, "start"]);
      expect([name, types.at(-1)]).toEqual([name, "done"]);
      const started = events.flatMap((event) => (event.type === "item_start" ? [event.index] : []));
      expect([name, started]).toEqual([name, started.map((_, at) => at)]);
      const ended = events.flatMap((event) => (event.type === "item_end" ? [event.index] : []));
      expect([name, ended.toSorted((a, b) => a - b)]).toEqual([name, started]);
    }
  });

  it("with an error inside end in one problem, on both paths", () => {
    expect(failed.length).toBeGreaterThan(0);
    for (const { name, value, events, folded } of failed) {
      expect([name, events.at(-1)?.type]).toEqual([name, "problem"]);
      expect([name, events.filter((event) => event.type === "problem" || event.type === "done").length]).toEqual([name, 1]);
      const { meter, roles } = meterOf(value);
      expect([name, roles.includes("problem")]).toEqual([name, true]);
      expect([name, meter.problem()?.kind]).toEqual([name, folded.problem?.kind]);
    }
  });

  it("give the same events byte by byte", () => {
    for (const { name, value, events } of decoded) {
      expect([name, JSON.stringify(decodeStream(chat, byteByByte(Buffer.from(value))))]).toEqual([name, JSON.stringify(events)]);
    }
  });

  it("give the same events cut in two", () => {
    for (const { name, value, events } of decoded) {
      const bytes = Buffer.from(value);
      const whole = JSON.stringify(events);
      const places = cutPlaces(bytes.length);
      // The decoder sees whole frames only: equal frames are equal events. Some are decoded all the same.
      expect([name, badCuts(bytes, places)]).toEqual([name, []]);
      const step = Math.ceil(places.length / DECODED_CUTS);
      const some = places.filter((_, at) => at % step === 0);
      expect([name, some.filter((place) => JSON.stringify(decodeStream(chat, inTwo(bytes, place))) !== whole)]).toEqual([name, []]);
    }
  });

  it("truncated anywhere end in exactly one problem", () => {
    const random = new SeededRandomness(1);
    for (const { name, value } of decoded) {
      const bytes = Buffer.from(value);
      const last = bytes.indexOf("data: [DONE]");
      for (let round = 0; round < 12; round++) {
        const events = decodeStream(chat, [bytes.subarray(0, Math.floor(random.number() * last))]);
        expect([name, events.filter((event) => event.type === "problem" || event.type === "done").map((event) => event.type)]).toEqual([
          name,
          ["problem"],
        ]);
        expect([name, events.at(-1)?.type]).toEqual([name, "problem"]);
      }
    }
  });

  it("are metered on the fast path as they are decoded on the slow one", () => {
    for (const { name, value, folded } of good) {
      const { meter, roles } = meterOf(value);
      expect([name, { id: meter.id(), model: meter.model(), stop: meter.stop(), usage: meter.usage() }]).toEqual([
        name,
        {
          id: folded.id,
          model: folded.model,
          stop: folded.stop,
          usage: folded.usageSeen ? folded.usage : undefined,
        },
      ]);
      expect([name, roles.at(-1)]).toEqual([name, "done"]);
      expect([name, roles.includes("output")]).toEqual([name, folded.items().length > 0]);
      let characters = 0;
      for (const item of folded.items()) {
        if (item.type === "tool_call") characters += item.input.length;
        else if (item.type === "message" || item.type === "reasoning")
          for (const part of item.parts) characters += "text" in part ? (part.text ?? "").length : 0;
      }
      expect([name, meter.outputCharacters() >= characters]).toEqual([name, true]);
    }
  });

  it("lose nothing but the usage frame when it is withheld", () => {
    let withheld = 0;
    for (const { name, value, folded } of good) {
      const { roles, kept } = meterOf(value, true);
      withheld += roles.filter((role) => role === "withhold").length;
      const before = folded.answer();
      const after = fold(decodeStream(chat, [Buffer.from(kept)])).answer();
      expect([name, after.items]).toEqual([name, before.items]);
      expect([name, after.stop]).toEqual([name, before.stop]);
    }
    expect(withheld).toBeGreaterThan(10);
  });

  it("fold into the answer that the official client accumulates", async () => {
    expect(alike.length).toBeGreaterThan(15);
    for (const { name, value, folded } of alike) {
      const answer = folded.answer();
      const whole = (await accumulated(value)) as {
        choices: { message: { reasoning?: string; reasoning_content?: string } }[];
      } & JsonObject;
      const message = whole.choices[0]?.message ?? {};
      // The client keeps only the last piece of fields that it does not know.
      const shown = answer.items.flatMap((item) => (item.type === "reasoning" ? item.parts.map((part) => part.text) : [])).join("");
      delete message.reasoning;
      delete message.reasoning_content;
      if (shown !== "") Object.assign(message, { reasoning_content: shown });
      const plain = chat.decodeAnswer(whole, { provider: "recorded", operation: "generate" });
      expect([name, { ...(essence(answer) as object), usage: 0 }]).toEqual([name, { ...(essence(plain) as object), usage: 0 }]);
    }
  });

  it("encoded again tell the same", () => {
    for (const { name, events, folded } of good) {
      const again = fold(decodeStream(chat, [Buffer.from(reencode(events))]));
      // A stream without a finish reason is given one: clients insist on it.
      const stop = folded.stop === "unknown" ? { stop: "end" } : {};
      expect([name, essence(again.answer())]).toEqual([name, { ...(essence(folded.answer()) as object), ...stop }]);
    }
  });

  it("encoded again are accumulated by the official client to the same message", async () => {
    const said = (answer: Answer): unknown[] =>
      answer.items
        .filter((item) => item.type !== "reasoning")
        .map((item) => (item.type === "message" ? item.parts : item.type === "tool_call" ? [item.callId, item.name, item.input] : item));
    for (const { name, events, folded } of official) {
      const plain = chat.decodeAnswer(await accumulated(reencode(events)), { provider: "recorded", operation: "generate" });
      expect([name, said(plain)]).toEqual([name, said(folded.answer())]);
      expect([name, plain.usage]).toEqual([name, folded.usageSeen ? folded.usage : plain.usage]);
    }
  });

  it("folded and encoded as a plain answer keep every item", () => {
    const sorted = (answer: Answer): unknown =>
      essence({ ...answer, items: answer.items.toSorted((a, b) => a.type.localeCompare(b.type)) });
    for (const { name, folded } of good) {
      const json = chat.encodeAnswer(folded.answer(), context);
      expect([name, sorted(chat.decodeAnswer(json, { provider: "recorded", operation: "generate" }))]).toEqual([
        name,
        sorted(folded.answer()),
      ]);
    }
  });
});
