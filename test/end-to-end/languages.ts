import { expect } from "vitest";

/** What a test must know of a wire language to speak it by hand. */
export interface Language {
  readonly id: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The name of the list of messages. */
  readonly list: "messages" | "input";
  call(model: string, text: string, more?: Readonly<Record<string, unknown>>): Record<string, unknown>;
  /** A call whose user message holds an image at this URL. */
  withImage(model: string, url: string): Record<string, unknown>;
  /** A call with a tool result that answers nothing. */
  withOrphan(model: string): Record<string, unknown>;
  /** Asserts that a body is an error in the language's own shape; returns its message. */
  errorMessage(body: unknown): string;
  /** Is this frame of a stream an error, or its regular end? */
  terminal(data: string): "done" | "problem" | undefined;
}

const user = (text: string) => ({ role: "user", content: text });

function openaiError(body: unknown): string {
  expect(body).toMatchObject({ error: { message: expect.any(String) as string, type: expect.any(String) as string } });
  const { error } = body as { error: { message: string; code: unknown; param: unknown } };
  expect([null, "string"]).toContain(error.code === null ? null : typeof error.code);
  expect([null, "string"]).toContain(error.param === null ? null : typeof error.param);
  return error.message;
}

const ANTHROPIC_TYPES =
  /^(?:invalid_request_error|authentication_error|billing_error|permission_error|not_found_error|conflict_error|request_too_large|rate_limit_error|timeout_error|api_error|overloaded_error)$/;

export const CHAT: Language = {
  id: "openai-chat",
  path: "/v1/chat/completions",
  headers: {},
  list: "messages",
  call: (model, text, more = {}) => ({ model, messages: [user(text)], ...more }),
  withImage: (model, url) => ({ model, messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] }),
  withOrphan: (model) => ({ model, messages: [user("hi"), { role: "tool", tool_call_id: "call_nobody", content: "42" }] }),
  errorMessage: openaiError,
  terminal: (data) => {
    if (data === "[DONE]") return "done";
    return typeof read(data)["error"] === "object" ? "problem" : undefined;
  },
};

export const RESPONSES: Language = {
  id: "openai-responses",
  path: "/v1/responses",
  headers: {},
  list: "input",
  call: (model, text, more = {}) => ({ model, input: [user(text)], store: false, ...more }),
  withImage: (model, url) => ({
    model,
    store: false,
    input: [{ role: "user", content: [{ type: "input_image", image_url: url, detail: "auto" }] }],
  }),
  withOrphan: (model) => ({
    model,
    store: false,
    input: [user("hi"), { type: "function_call_output", call_id: "call_nobody", output: "42" }],
  }),
  errorMessage: openaiError,
  terminal: (data) => {
    const type = read(data)["type"];
    if (type === "response.completed" || type === "response.incomplete") return "done";
    // An `error` event may come before it; the response's own failure is the end.
    return type === "response.failed" ? "problem" : undefined;
  },
};

export const MESSAGES: Language = {
  id: "anthropic-messages",
  path: "/v1/messages",
  headers: { "anthropic-version": "2023-06-01" },
  list: "messages",
  call: (model, text, more = {}) => ({ model, max_tokens: 100, messages: [user(text)], ...more }),
  withImage: (model, url) => ({
    model,
    max_tokens: 100,
    messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url } }] }],
  }),
  withOrphan: (model) => ({
    model,
    max_tokens: 100,
    messages: [user("hi"), { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_nobody", content: "42" }] }],
  }),
  errorMessage: (body) => {
    expect(body).toMatchObject({
      type: "error",
      error: { type: expect.stringMatching(ANTHROPIC_TYPES) as string, message: expect.any(String) as string },
      request_id: expect.any(String) as string,
    });
    return (body as { error: { message: string } }).error.message;
  },
  terminal: (data) => {
    const type = read(data)["type"];
    if (type === "message_stop") return "done";
    return type === "error" ? "problem" : undefined;
  },
};

export const LANGUAGES: readonly Language[] = [CHAT, RESPONSES, MESSAGES];

function read(data: string): Record<string, unknown> {
  try {
    return JSON.parse(data) as Record<string, unknown>;
  } catch {
    return {};
  }
}
