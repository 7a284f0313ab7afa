import { describe, expect, it } from "vitest";
import { readDuration, readLimitReset, readRetryAfter, readRetryInfo } from "../../src/kit/index.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 0, 1);

describe("retry-after", () => {
  it.each([
    [{ "retry-after-ms": "250" }, 250],
    [{ "retry-after-ms": "250.2", "retry-after": "9" }, 251],
    [{ "retry-after": "3" }, 3000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after": "0" }, 0],
    [{ "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" }, 7000],
    [{ "retry-after": "Thu, 01 Jan 2025 00:00:07 GMT" }, 0],
    [{ "retry-after": "Thu, 01 Jan 2026 01:00:07 GMT", date: "Thu, 01 Jan 2026 01:00:00 GMT" }, 7000],
    [{ "retry-after": "99999999" }, DAY_MS],
    [{ "retry-after": "soon" }, undefined],
    [{ "retry-after": "-1" }, undefined],
    [{ "retry-after-ms": "x", "retry-after": "2" }, 2000],
    [{}, undefined],
  ])("%j", (headers, ms) => expect(readRetryAfter(headers, NOW)).toBe(ms));

  it("a date says nothing where no clock is known", () => {
    expect(readRetryAfter({ "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" })).toBeUndefined();
  });
});

describe("limits that are full again", () => {
  const limits = [
    { remaining: "x-left-requests", reset: "x-reset-requests" },
    { remaining: "x-left-tokens", reset: "x-reset-tokens" },
  ];
  it.each([
    [{ "x-left-requests": "0", "x-reset-requests": "6m0s" }, 360_000],
    [{ "x-left-requests": "5", "x-reset-requests": "6m0s", "x-left-tokens": "0", "x-reset-tokens": "20ms" }, 20],
    [{ "x-left-requests": "0", "x-reset-requests": "1s", "x-left-tokens": "0", "x-reset-tokens": "1m2.5s" }, 62_500],
    [{ "x-left-requests": "0", "x-reset-requests": "2026-01-01T00:00:04Z" }, 4000],
    [{ "x-left-requests": "0", "x-reset-requests": String(NOW / 1000 + 9) }, 9000],
    [{ "x-left-requests": "0", "x-reset-requests": String(NOW + 900) }, 900],
    [{ "x-left-requests": "0", "x-reset-requests": "12" }, 12_000],
    [{ "x-left-requests": "7", "x-reset-requests": "12" }, undefined],
    [{ "x-reset-requests": "12" }, undefined],
    [{ "x-left-requests": "0", "x-reset-requests": "later" }, undefined],
  ])("%j", (headers, ms) => expect(readLimitReset(headers, limits, NOW)).toBe(ms));

  it("reads durations and nothing like them", () => {
    expect(readDuration("1h1m1s")).toBe(3_661_000);
    for (const text of ["", "5", "s", "5x", "1s!", "1 s"]) expect(readDuration(text)).toBeUndefined();
  });
});

describe("RetryInfo in an error's body", () => {
  const info = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "3.5s" };
  it.each([
    [{ error: { details: [{ "@type": "type.googleapis.com/google.rpc.Help" }, info] } }, 3500],
    [[{ error: { details: [info] } }], 3500],
    [{ details: [info] }, 3500],
    [{ error: { details: [{ ...info, retryDelay: "soon" }] } }, undefined],
    [{ error: { details: "none" } }, undefined],
    [{ error: {} }, undefined],
    ["text", undefined],
    [undefined, undefined],
  ])("%j", (body, ms) => expect(readRetryInfo(body)).toBe(ms));
});
