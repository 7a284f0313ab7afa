import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";
import { LANGUAGES } from "./languages.ts";

/** Far beyond what sockets and journals hold: a client that is slower than its upstream is the rule. */
const TOKENS = 200_000;
/** Few enough for the journal to hold all of it. */
const SHORT_TOKENS = 2000;
const MIB = 1024 * 1024;

let pair: GatewayPair;
beforeAll(async () => {
  pair = await startPair({ config: `sim: { models: { long: { length: ${TOKENS} }, short: { length: ${SHORT_TOKENS} } } }` });
});
afterAll(() => pair.close());

describe.each(LANGUAGES)("a stream of megabytes to a $id client", (language) => {
  const open = (model: string): Promise<Response> =>
    fetch(pair.front.url + language.path, {
      method: "POST",
      headers: { "content-type": "application/json", ...language.headers },
      body: JSON.stringify(
        language.call(model, "Go on.", { stream: true, [language.list === "input" ? "max_output_tokens" : "max_tokens"]: TOKENS }),
      ),
    });

  it.each(ROUTES)("arrives whole through %s, whatever the client's pace", async (route) => {
    const response = await open(`${route}long`);
    // Nobody reads at first: everything on the way fills up, and waits.
    await new Promise((resolve) => setImmediate(resolve));
    const text = await response.text();
    expect(text.length).toBeGreaterThan(2 * MIB);
    expect(text.split("\n").filter((line) => line.startsWith("data: ") && language.terminal(line.slice(6)) === "done")).toHaveLength(1);
    const row = await pair.front.lastRow();
    expect(row).toMatchObject({ state: "done", stream: true });
    expect(row.usage.output).toBe(TOKENS);
  });

  it("can be read again from any of its events", async () => {
    const response = await open("sim/short");
    const url = `${pair.front.url}/v1/calls/${response.headers.get("x-gimbal-call-id")}/events`;
    // While it runs, and by somebody who was there from the start.
    const [text, again] = await Promise.all([response.text(), fetch(url).then((early) => early.text())]);
    expect(again.replaceAll(/^id: \d+\n/gm, "")).toBe(text);
    const ids = [...again.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
    expect(ids).toEqual(ids.map((_, place) => place + 1));
    await pair.front.rows();
    expect((await fetch(`${url}?after=${ids.length + 1}`)).status).toBe(416);
    const tail = await (await fetch(`${url}?after=${ids.length - 1}`)).text();
    expect(tail).toBe(again.slice(again.lastIndexOf("id: ")));
  });
});
