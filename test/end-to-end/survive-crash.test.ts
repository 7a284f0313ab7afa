import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { endAll, framesOf, listen, serve } from "./resume-process.ts";
import { startShaky, type ShakyUpstream } from "./survive-upstream.ts";

const PATHS = {
  chat: ["/v1/chat/completions", { messages: [{ role: "user", content: "Go on." }] }],
  responses: ["/v1/responses", { input: "Go on." }],
  messages: ["/v1/messages", { max_tokens: 4000, messages: [{ role: "user", content: "Go on." }] }],
} as const;
/** Slow enough that the second half of an answer can be interrupted. */
const SLOW_TOKENS_PER_SECOND = 40;
const TERMINAL = /gateway_restarted|The gateway stopped while call/;

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  endAll();
  for (const close of closing.toReversed()) await close();
  closing = [];
});

async function folderWith(first: ShakyUpstream, second: ShakyUpstream): Promise<{ readonly folder: string; readonly file: string }> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-survive-"));
  closing.push(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "gimbal.yaml");
  const lab = (name: string, url: string): string =>
    `  ${name}: { kind: openai-compatible, baseUrl: "${url}/v1", apiKey: x, allowPrivateNetwork: true }\n`;
  await writeFile(
    file,
    `version: 1
storage: { openHoldMs: 1 }
providers:
${lab("a", first.url)}${lab("b", second.url)}models:
  fast: { targets: [a/m, b/m], continue: always }
`,
  );
  return { folder, file };
}

describe("a gateway killed while it goes on with a broken stream", () => {
  it.each(Object.entries(PATHS))("tells whoever comes back all it had said, then one problem: %s", async (_name, [path, body]) => {
    // Enough for some text in any language; the first target breaks whenever it is asked, and so does not go on itself.
    const first = await startShaky((number) => (number === 0 ? { does: "break", afterBytes: 3000, how: "reset" } : { does: "drop" }));
    const second = await startShaky(() => ({ does: "answer" }), SLOW_TOKENS_PER_SECOND);
    closing.push(
      () => first.close(),
      () => second.close(),
    );
    const { folder, file } = await folderWith(first, second);
    const before = await serve(folder, file);
    const heard = await listen(`${before.url}${path}`, { ...body, model: "fast", stream: true });
    const broken = async (): Promise<number> => {
      for (let count = heard.frames().length; ; count = heard.frames().length) {
        if (second.requests > 0) return count;
        await heard.until(count + 1);
      }
    };
    // Some pieces of the second half are out, and time for them to be journaled.
    await heard.until((await broken()) + 12);
    await before.kill();
    const seen = heard.frames();
    heard.leave();
    const after = await serve(folder, file);
    const whole = framesOf(await (await fetch(`${after.url}/v1/calls/${heard.callId}/events?after=0`)).text());
    expect(whole.ids).toEqual(whole.frames.map((_, place) => place + 1));
    const end = whole.frames.findIndex((frame) => TERMINAL.test(frame));
    const said = whole.frames.slice(0, end);
    const farewell = whole.frames.slice(end);
    // What was flushed is a beginning of what was sent, or all of it; the journal is at most a tenth of a second behind.
    expect(said).toEqual(seen.slice(0, said.length));
    expect(said.length).toBeGreaterThanOrEqual(seen.length - 8);
    // One problem, which one of the languages says in two frames.
    expect(end).toBeGreaterThan(0);
    expect(farewell.length).toBeLessThanOrEqual(2);
    for (const place of [1, said.length - 1, said.length, said.length + 50]) {
      const rest = framesOf(await (await fetch(`${after.url}/v1/calls/${heard.callId}/events?after=${place}`)).text()).frames;
      const expected = [...said.slice(place), ...farewell];
      // Behind the end the problem is told all the same, with the numbers that its reader expects.
      if (place <= said.length) expect(rest).toEqual(expected);
      else expect(rest.some((frame) => TERMINAL.test(frame)) && rest.length <= farewell.length).toBe(true);
    }
    const call = (await (await fetch(`${after.url}/v1/calls/${heard.callId}`)).json()) as { state: string };
    expect(call.state).toBe("interrupted");
    // Nobody is left to hear them.
    await expect.poll(() => [first.open, second.open]).toEqual([0, 0]);
  });

  it("answers a repeated request anew, because its first call will never be complete", async () => {
    const first = await startShaky((number) => (number === 0 ? { does: "break", afterBytes: 3000, how: "end" } : { does: "answer" }));
    const second = await startShaky(() => ({ does: "answer" }), SLOW_TOKENS_PER_SECOND);
    closing.push(
      () => first.close(),
      () => second.close(),
    );
    const { folder, file } = await folderWith(first, second);
    const ask = { ...PATHS.chat[1], model: "fast", stream: true };
    const before = await serve(folder, file);
    const heard = await listen(`${before.url}${PATHS.chat[0]}`, ask, { headers: { "idempotency-key": "once" } });
    await heard.until(5);
    await before.kill();
    heard.leave();
    const after = await serve(folder, file);
    const again = await listen(`${after.url}${PATHS.chat[0]}`, ask, { headers: { "idempotency-key": "once" } });
    await again.until(Number.POSITIVE_INFINITY);
    const frames = again.frames();
    expect(frames.at(-1)).toBe("data: [DONE]");
    expect(frames.join("")).not.toMatch(TERMINAL);
    // From now on that is what the request is told.
    const third = await listen(`${after.url}${PATHS.chat[0]}`, ask, { headers: { "idempotency-key": "once" } });
    await third.until(Number.POSITIVE_INFINITY);
    expect(third.frames()).toEqual(frames);
  });
});

describe("a gateway killed while it tells a stream that is one JSON array", () => {
  it("closes the array with the problem, for whoever comes back", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gimbal-survive-"));
    closing.push(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "gimbal.yaml");
    await writeFile(
      file,
      "version: 1\nstorage: { openHoldMs: 1 }\nsim: { models: { talk: { length: 400, ttftMs: 1, tokensPerSecond: 40, seed: 1 } } }\n",
    );
    const before = await serve(folder, file);
    const leave = new AbortController();
    const response = await fetch(`${before.url}/v1beta/models/sim/talk:streamGenerateContent`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ contents: [{ role: "user", parts: [{ text: "Go on." }] }] }),
      signal: leave.signal,
    });
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    const id = response.headers.get("x-gimbal-call-id") ?? "";
    const heard = await someOf(response, 1500);
    await before.kill();
    leave.abort();
    const after = await serve(folder, file);
    const told = async (number: number): Promise<string> => {
      const resumed = await fetch(`${after.url}/v1/calls/${id}/events?after=${number}`);
      expect(resumed.headers.get("content-type")).toMatch(/^application\/json/);
      return (await resumed.text()).replaceAll(/^id: \d+\n/gm, "");
    };
    const whole = await told(0);
    const elements = JSON.parse(whole) as readonly { readonly error?: { readonly message: string } }[];
    expect(elements.length).toBeGreaterThan(3);
    expect(elements.slice(0, -1).every(({ error }) => error === undefined)).toBe(true);
    expect(elements.at(-1)?.error?.message).toMatch(TERMINAL);
    expect(whole.slice(0, 200)).toBe(heard.slice(0, 200));
    const rest = await told(2);
    expect(rest.startsWith(",")).toBe(true);
    expect(whole.endsWith(rest)).toBe(true);
  });
});

/** Reads until so many characters are here, and time for them to be journaled has passed: a later piece has come. */
async function someOf(response: Response, characters: number): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < characters) {
    const piece = await reader?.read();
    if (!piece || piece.done) break;
    text += decoder.decode(piece.value, { stream: true });
  }
  return text;
}

describe("a data folder that a gateway holds", () => {
  it("is refused to a second one at once, and the first goes on undisturbed", async () => {
    const first = await startShaky(() => ({ does: "answer" }), SLOW_TOKENS_PER_SECOND);
    closing.push(() => first.close());
    const { folder, file } = await folderWith(first, first);
    const holder = await serve(folder, file);
    const heard = await listen(`${holder.url}${PATHS.chat[0]}`, { ...PATHS.chat[1], model: "fast", stream: true });
    await heard.until(5);
    await expect(serve(folder, file)).rejects.toThrow(/in use|already/i);
    await heard.until(Number.POSITIVE_INFINITY);
    expect(heard.frames().at(-1)).toBe("data: [DONE]");
  });
});
