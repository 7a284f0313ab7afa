/**
 * What the Open Responses specification (openresponses.org, version 2026-04-24) demands of the objects a server sends, as functions that
 * list faults. Written from the specification's text and schemas, for running against a live server.
 */
export type Fields = Readonly<Record<string, unknown>>;

type Check = (value: unknown) => boolean;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
const text: Check = (value) => typeof value === "string";
const number: Check = (value) => typeof value === "number";
const whole: Check = (value) => Number.isInteger(value);
const flag: Check = (value) => typeof value === "boolean";
const list: Check = (value) => Array.isArray(value);
const fields: Check = isFields;
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    typeof value === "string" && values.includes(value);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const RESPONSE_STATES = oneOf("queued", "in_progress", "completed", "incomplete", "failed", "cancelled");
const ITEM_STATES = oneOf("in_progress", "completed", "incomplete");
const PHASES = optional(orNull(oneOf("commentary", "final_answer")));

/** Every field a response object must have. */
const RESPONSE: Readonly<Record<string, Check>> = {
  id: text,
  object: oneOf("response"),
  created_at: whole,
  completed_at: orNull(whole),
  status: RESPONSE_STATES,
  incomplete_details: orNull(fields),
  model: text,
  previous_response_id: orNull(text),
  instructions: orNull((value) => text(value) || list(value)),
  output: list,
  error: orNull(fields),
  tools: list,
  tool_choice: (value) => text(value) || fields(value),
  truncation: oneOf("auto", "disabled"),
  parallel_tool_calls: flag,
  text: fields,
  top_p: number,
  presence_penalty: number,
  frequency_penalty: number,
  top_logprobs: whole,
  temperature: number,
  reasoning: orNull(fields),
  usage: orNull(fields),
  max_output_tokens: orNull(whole),
  max_tool_calls: orNull(whole),
  store: flag,
  background: flag,
  service_tier: text,
  metadata: fields,
  safety_identifier: orNull(text),
  prompt_cache_key: orNull(text),
};

const USAGE: Readonly<Record<string, Check>> = {
  input_tokens: whole,
  output_tokens: whole,
  total_tokens: whole,
  input_tokens_details: (value) => isFields(value) && whole(value["cached_tokens"]),
  output_tokens_details: (value) => isFields(value) && whole(value["reasoning_tokens"]),
};

/** By the item's type; items of an implementor's own carry at least a type and an id. */
const ITEMS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  message: { id: text, status: ITEM_STATES, role: oneOf("user", "assistant", "system", "developer"), content: list, phase: PHASES },
  function_call: { id: text, call_id: text, name: text, arguments: text, status: ITEM_STATES },
  function_call_output: { id: text, call_id: text, output: (value) => text(value) || list(value), status: ITEM_STATES },
  reasoning: { id: text, summary: list, content: optional(list), encrypted_content: optional(orNull(text)) },
  compaction: { id: text, encrypted_content: text },
};

const PARTS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  output_text: { text, annotations: list, logprobs: optional(list) },
  input_text: { text },
  refusal: { refusal: text },
};

function faultsIn(where: string, value: unknown, shape: Readonly<Record<string, Check>>): string[] {
  if (!isFields(value)) return [`${where} is not an object`];
  const faults: string[] = [];
  for (const [field, check] of Object.entries(shape))
    if (!check(value[field])) faults.push(`${where}.${field} is ${JSON.stringify(value[field]) ?? "missing"}`);
  return faults;
}

export function itemFaults(where: string, item: unknown): string[] {
  if (!isFields(item) || typeof item["type"] !== "string") return [`${where} has no type`];
  const shape = ITEMS[item["type"]] ?? { id: text };
  const faults = faultsIn(where, item, shape);
  const content = item["type"] === "message" && Array.isArray(item["content"]) ? (item["content"] as unknown[]) : [];
  for (const [at, part] of content.entries()) {
    const type = isFields(part) ? part["type"] : undefined;
    const known = typeof type === "string" ? PARTS[type] : undefined;
    if (known) faults.push(...faultsIn(`${where}.content[${at}]`, part, known));
    else if (typeof type !== "string") faults.push(`${where}.content[${at}] has no type`);
  }
  return faults;
}

export function responseFaults(response: unknown): string[] {
  const faults = faultsIn("response", response, RESPONSE);
  if (!isFields(response)) return faults;
  if (Array.isArray(response["output"]))
    for (const [at, item] of (response["output"] as unknown[]).entries()) faults.push(...itemFaults(`output[${at}]`, item));
  if (response["usage"] !== null) faults.push(...faultsIn("usage", response["usage"], USAGE));
  if (response["status"] === "completed" && response["usage"] === null) faults.push("a completed response has no usage");
  return faults;
}

export function compactionFaults(body: unknown): string[] {
  const faults = faultsIn("compaction", body, {
    id: text,
    object: oneOf("response.compaction"),
    created_at: whole,
    output: list,
    usage: fields,
  });
  if (!isFields(body) || !Array.isArray(body["output"])) return faults;
  const output = body["output"] as unknown[];
  for (const [at, item] of output.entries()) faults.push(...itemFaults(`output[${at}]`, item));
  if (!output.some((item) => isFields(item) && item["type"] === "compaction")) faults.push("output holds no compaction item");
  faults.push(...faultsIn("usage", body["usage"], USAGE));
  return faults;
}

/** What each event must hold besides its type and number. */
const CONTENT_PLACE = { item_id: text, output_index: whole, content_index: whole };
const EVENTS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  "response.output_item.added": { output_index: whole, item: fields },
  "response.output_item.done": { output_index: whole, item: fields },
  "response.content_part.added": { ...CONTENT_PLACE, part: fields },
  "response.content_part.done": { ...CONTENT_PLACE, part: fields },
  "response.output_text.delta": { ...CONTENT_PLACE, delta: text, logprobs: list },
  "response.output_text.done": { ...CONTENT_PLACE, text, logprobs: list },
  "response.refusal.delta": { ...CONTENT_PLACE, delta: text },
  "response.refusal.done": { ...CONTENT_PLACE, refusal: text },
  "response.function_call_arguments.delta": { item_id: text, output_index: whole, delta: text },
  "response.function_call_arguments.done": { item_id: text, output_index: whole, arguments: text },
  "response.reasoning_summary_part.added": { item_id: text, output_index: whole, summary_index: whole, part: fields },
  "response.reasoning_summary_part.done": { item_id: text, output_index: whole, summary_index: whole, part: fields },
  "response.reasoning_summary_text.delta": { item_id: text, output_index: whole, summary_index: whole, delta: text },
  "response.reasoning_summary_text.done": { item_id: text, output_index: whole, summary_index: whole, text },
};
const LIFECYCLE: ReadonlySet<unknown> = new Set([
  "response.created",
  "response.queued",
  "response.in_progress",
  "response.completed",
  "response.incomplete",
  "response.failed",
]);
const TERMINAL: ReadonlySet<unknown> = new Set(["response.completed", "response.incomplete", "response.failed"]);

export function isTerminal(event: Fields): boolean {
  return TERMINAL.has(event["type"]);
}

/** A whole stream: numbers that rise, items that begin before they grow and end, one terminal event, and it the last. */
export function streamFaults(events: readonly Fields[]): string[] {
  const faults: string[] = [];
  let last = -1;
  const open = new Set<unknown>();
  if (events[0]?.["type"] !== "response.created") faults.push("the first event is not response.created");
  for (const event of events) {
    const type = typeof event["type"] === "string" ? event["type"] : "an event without a type";
    const sequence = event["sequence_number"];
    if (typeof sequence !== "number" || sequence <= last)
      faults.push(`${type} has sequence number ${JSON.stringify(sequence) ?? "none"} after ${last}`);
    else last = sequence;
    if (LIFECYCLE.has(type)) faults.push(...responseFaults(event["response"]).map((fault) => `${type}: ${fault}`));
    else faults.push(...faultsIn(type, event, EVENTS[type] ?? {}));
    const place = event["output_index"];
    if (type === "response.output_item.added") open.add(place);
    else if (place !== undefined && !open.has(place))
      faults.push(`${type} speaks of item ${JSON.stringify(place) ?? ""}, which is not under way`);
    if (type === "response.output_item.done") open.delete(place);
  }
  if (events.filter(isTerminal).length !== 1) faults.push("there is not exactly one terminal event");
  const end = events.at(-1);
  if (!end || !isTerminal(end)) faults.push("the last event is not terminal");
  if (open.size > 0) faults.push("an item never ended");
  return faults;
}

export function errorFaults(body: unknown): string[] {
  const error = isFields(body) ? body["error"] : undefined;
  return faultsIn("error", error, { message: text, type: text, code: orNull(text), param: orNull(text) });
}
