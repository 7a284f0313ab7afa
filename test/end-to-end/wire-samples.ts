/** Short, whole answers in each language, as a provider sends them. */
export interface WireSample {
  readonly plain: string;
  readonly stream: string;
  /** Up to here a stream that is cut must not pass for whole. */
  readonly mayBeDoneFrom: number;
  /** From here on nothing is missing but blank lines. */
  readonly isDoneFrom: number;
}

const frame = (data: unknown, event?: string): string =>
  `${event === undefined ? "" : `event: ${event}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

function chat(): WireSample {
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
  const chunk = (delta: object, finish_reason: string | null, more: object = {}) => ({
    id: "c1",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta, finish_reason }],
    ...more,
  });
  const body = frame(chunk({ role: "assistant", content: "Hi" }, null)) + frame(chunk({}, "stop", { usage }));
  const stream = `${body}${frame("[DONE]")}`;
  return {
    plain: JSON.stringify({
      id: "c1",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
      usage,
    }),
    stream,
    // Some servers of this language never send the last line: what names the reason for the end may count as one.
    mayBeDoneFrom: body.length - 2,
    isDoneFrom: stream.length - 2,
  };
}

function responses(): WireSample {
  const item = {
    type: "message",
    id: "msg_1",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: "Hi", annotations: [], logprobs: [] }],
  };
  const usage = {
    input_tokens: 3,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 2,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 5,
  };
  const begun = { id: "resp_1", object: "response", created_at: 1, status: "in_progress", model: "m", output: [] };
  const whole = { ...begun, status: "completed", output: [item], usage };
  const place = { item_id: "msg_1", output_index: 0, content_index: 0 };
  const events: Record<string, unknown>[] = [
    { type: "response.created", response: begun },
    { type: "response.output_item.added", output_index: 0, item: { ...item, status: "in_progress", content: [] } },
    { type: "response.content_part.added", ...place, part: { type: "output_text", text: "", annotations: [], logprobs: [] } },
    { type: "response.output_text.delta", ...place, delta: "Hi", logprobs: [] },
    { type: "response.output_text.done", ...place, text: "Hi", logprobs: [] },
    { type: "response.content_part.done", ...place, part: item.content[0] },
    { type: "response.output_item.done", output_index: 0, item },
    { type: "response.completed", response: whole },
  ];
  const stream = events.map((event, sequence_number) => frame({ ...event, sequence_number }, event["type"] as string)).join("");
  return { plain: JSON.stringify(whole), stream, mayBeDoneFrom: stream.length - 2, isDoneFrom: stream.length - 2 };
}

function messages(): WireSample {
  const begun = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "m",
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 3, output_tokens: 1 },
  };
  const events: Record<string, unknown>[] = [
    { type: "message_start", message: begun },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hi" } },
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 2 } },
    { type: "message_stop" },
  ];
  const stream = events.map((event) => frame(event, event["type"] as string)).join("");
  return {
    plain: JSON.stringify({
      ...begun,
      content: [{ type: "text", text: "Hi" }],
      stop_reason: "end_turn",
      usage: { input_tokens: 3, output_tokens: 2 },
    }),
    stream,
    // The event's name alone tells the end as well as its data does.
    mayBeDoneFrom: stream.length - frame({ type: "message_stop" }).length - 1,
    isDoneFrom: stream.length - 2,
  };
}

/** By dialect id. */
export const SAMPLES: Readonly<Record<string, WireSample>> = {
  "openai-chat": chat(),
  "openai-responses": responses(),
  "anthropic-messages": messages(),
};

export function sampleOf(dialect: string): WireSample {
  const sample = SAMPLES[dialect];
  if (!sample) throw new Error(`no sample of ${dialect}`);
  return sample;
}
