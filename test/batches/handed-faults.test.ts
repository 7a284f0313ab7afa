import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { anyAnswer, lastText } from "../support/batch-answers.ts";
import { startService, type ServiceBehaviour, type TestService } from "../support/batch-service.ts";
import {
  beginBatch,
  chatLine,
  dataFolder,
  fourKinds,
  openGateway,
  toldLines,
  until,
  whenOver,
  type BatchGateway,
} from "../support/batching.ts";

/** Batch services that lose, refuse, forget and garble. */
let service: TestService;
let gateway: BatchGateway;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  service = await startService({ answer: anyAnswer });
  closing.push(() => service.close());
  const { folder, remove } = await dataFolder();
  closing.push(remove);
  gateway = await openGateway(fourKinds(service.url), folder);
  closing.push(() => gateway.close());
});
beforeEach(() => service.reset());
afterAll(async () => {
  for (const close of closing.toReversed()) await close();
});

const MODELS = ["lab/gpt-5-mini", "claude/claude-sonnet-4-5", "mistral/mistral-large-2512", "gemini/gemini-2.5-flash"] as const;
/** 1,000 tokens read and 200 written: dollars a million are 0.25 and 2, 3 and 15, 0.5 and 1.5, 0.3 and 2.5. */
const FULL: Readonly<Record<string, number>> = {
  [MODELS[0]]: 650_000,
  [MODELS[1]]: 6_000_000,
  [MODELS[2]]: 800_000,
  [MODELS[3]]: 800_000,
};
const names = (count: number): readonly string[] => Array.from({ length: count }, (_, place) => `n${place + 1}`);
const begin = (model: string, count = 3): Promise<string> =>
  beginBatch(
    gateway.openai,
    names(count).map((name) => chatLine(name, model)),
  );
async function run(model: string, count = 3): ReturnType<typeof whenOver> {
  return whenOver(gateway.openai, await begin(model, count));
}
async function outcomes(batch: {
  readonly output_file_id?: string | null;
  readonly error_file_id?: string | null;
}): Promise<Record<string, string>> {
  const all = [...(await toldLines(gateway.openai, batch.output_file_id)), ...(await toldLines(gateway.openai, batch.error_file_id))];
  return Object.fromEntries(all.map(({ custom_id: id, error, response }) => [id, error?.code ?? String(response?.status_code)]));
}
/** The nth line of what is sent, changed. */
const mangled =
  (change: (lines: readonly string[]) => readonly string[]): ServiceBehaviour["results"] =>
  (text) => ({
    text: change(text.trim().split("\n"))
      .map((line) => `${line}\n`)
      .join(""),
  });

describe.each(MODELS)("an order to the service of %s", (model) => {
  it("that arrived although its answer was lost is found again, and not sent twice", async () => {
    service.behaviour.create = "lost";
    const id = await begin(model);
    await until(
      async () => service.batches.length,
      (count) => count === 1,
    );
    service.behaviour.create = "well";
    const batch = await whenOver(gateway.openai, id);
    expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    expect(service.batches).toHaveLength(1);
    expect((await gateway.rowsOf(id)).map(({ costNanodollars }) => costNanodollars)).toHaveLength(3);
  });

  it("that never arrived is sent again, also where others of its size are about", async () => {
    const before = await run(model);
    expect(before.status).toBe("completed");
    service.behaviour.create = "dropped";
    const id = await begin(model);
    await new Promise((resolve) => setTimeout(resolve, 100));
    service.behaviour.create = "well";
    const batch = await whenOver(gateway.openai, id);
    expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    expect(service.batches).toHaveLength(2);
  });

  it("that is refused leaves its lines to be asked here, each at its full price", async () => {
    service.behaviour.create = "refused";
    const batch = await run(model);
    expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    expect(service.calls).toHaveLength(3);
    const full = FULL[model];
    expect((await gateway.rowsOf(batch.id)).map(({ costNanodollars }) => costNanodollars)).toEqual([full, full, full]);
  });

  it("whose time runs out there has expired lines, and pays for the others", async () => {
    service.behaviour.looks = Number.POSITIVE_INFINITY;
    const id = await begin(model);
    const [made] = await until(
      async () => service.batches,
      (all) => all.length === 1,
    );
    if (!made) throw new Error("there is no batch");
    Object.assign(made, { state: "expired", answered: 1 });
    const batch = await whenOver(gateway.openai, id);
    // The last of them keeps no results of a batch that expired.
    const answered = model === MODELS[3] ? 0 : 1;
    expect(batch).toMatchObject({ status: "expired", request_counts: { total: 3, completed: answered, failed: 0 } });
    expect(await outcomes(batch)).toEqual({ n1: answered === 1 ? "200" : "batch_expired", n2: "batch_expired", n3: "batch_expired" });
    expect(await gateway.rowsOf(id)).toHaveLength(answered);
  });

  it("is cancelled with its batch, and what was answered by then is told", async () => {
    service.behaviour.looks = Number.POSITIVE_INFINITY;
    const id = await begin(model);
    const [made] = await until(
      async () => service.batches,
      (all) => all.length === 1,
    );
    if (made) made.answered = 2;
    expect(["cancelling", "cancelled"]).toContain((await gateway.openai.batches.cancel(id)).status);
    const batch = await whenOver(gateway.openai, id);
    expect(batch).toMatchObject({ status: "cancelled", request_counts: { total: 3, completed: 2, failed: 0 } });
    expect(made?.state).toBe("cancelled");
    expect(await gateway.rowsOf(id)).toHaveLength(2);
  });
});

describe.each(MODELS)("results of %s", (model) => {
  it("that are a page of HTML at first are fetched again", async () => {
    service.behaviour.results = (text) =>
      service.deleted.length === 0 && ++pages <= 2 ? { text: "<html><body>Bad gateway</body></html>", type: "text/html" } : { text };
    let pages = 0;
    expect((await run(model)).request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    expect(pages).toBeGreaterThan(2);
  });

  it("that stay a page of HTML fail their lines, in the end", async () => {
    service.behaviour.results = () => ({ text: "<html>\n<body>Bad gateway</body>\n</html>\n", type: "text/html" });
    const batch = await run(model);
    expect(batch.request_counts).toEqual({ total: 3, completed: 0, failed: 3 });
    expect(await outcomes(batch)).toEqual({ n1: "upstream_broken", n2: "upstream_broken", n3: "upstream_broken" });
  });

  it("that lack a line, hold strange ones and repeat others, are matched by name", async () => {
    service.behaviour.results = mangled(([first = "", , ...rest]) => [
      first.replace(/gb\w{22}-\d/g, "gb0000000000000000000000-1"),
      first.replace(/-\d"/g, '-77"'),
      first,
      first.replace("heard", "never"),
      ...rest,
    ]);
    const batch = await run(model, 4);
    // The last line comes first, and the second of what comes is left out.
    expect(await outcomes(batch)).toEqual({ n1: "200", n2: "200", n3: "upstream_broken", n4: "200" });
    const told = await toldLines(gateway.openai, batch.output_file_id);
    expect(JSON.stringify(told)).not.toContain("never");
    expect(await gateway.rowsOf(batch.id)).toHaveLength(3);
  });

  it("that are cut in a line give what came before, and the rest when they come whole", async () => {
    let tries = 0;
    service.behaviour.results = (text) => ({ text: ++tries === 1 ? text.slice(0, Math.floor(text.length * 0.6)) : text });
    const batch = await run(model);
    expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    expect(tries).toBe(2);
    expect(await gateway.rowsOf(batch.id)).toHaveLength(3);
  });

  it("that are no answers of their language fail alone, and what they cost is booked", async () => {
    service.behaviour.answer = (line) => {
      const { status, body } = anyAnswer(line);
      return lastText(line.body) === "n2"
        ? { status, body: { ...(body as object), choices: "none", content: "none", candidates: "none" } }
        : { status, body };
    };
    const batch = await run(model);
    expect(batch.request_counts?.total).toBe(3);
    const rows = await gateway.rowsOf(batch.id);
    expect(rows.map(({ costNanodollars }) => costNanodollars)).toEqual(Array.from({ length: 3 }, () => rows[0]?.costNanodollars));
    expect(rows[0]?.costNanodollars).toBeGreaterThan(0);
  });
});

it("a kill switch is passed on, and what was answered by then is told", async () => {
  service.behaviour.looks = Number.POSITIVE_INFINITY;
  const id = await begin(MODELS[0]);
  const [made] = await until(
    async () => service.batches,
    (all) => all.length === 1,
  );
  if (made) made.answered = 1;
  const { switches } = gateway.house.stores;
  await switches.put({ id: "off", kind: "kill", scope: "provider", value: "lab", author: "test", createdAt: Date.now() });
  await gateway.house.gateway.switches.refresh();
  const batch = await whenOver(gateway.openai, id);
  await switches.remove("off");
  await gateway.house.gateway.switches.refresh();
  expect(made?.state).toBe("cancelled");
  expect(await outcomes(batch)).toEqual({ n1: "200", n2: "killed", n3: "killed" });
});

it("a service that takes nothing for now keeps no other waiting, and is tried again", async () => {
  service.behaviour.create = "dropped";
  const id = await beginBatch(gateway.openai, [chatLine("n1", MODELS[0]), chatLine("echo", "sim/echo")]);
  const seen = await until(
    () => gateway.openai.batches.retrieve(id),
    ({ request_counts: counts }) => counts?.completed === 1,
  );
  expect(seen).toMatchObject({
    status: "in_progress",
    gimbal: { handed_over: [{ target: MODELS[0], batch: null, state: "sending", lines: 1 }], here: 1 },
  });
  service.behaviour.create = "well";
  expect((await whenOver(gateway.openai, id)).request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
});

it("nothing is sent for a batch that another process has taken over", async () => {
  const { batches } = gateway.house.stores;
  service.behaviour.create = "dropped";
  const id = await begin(MODELS[0]);
  await until(
    () => gateway.openai.batches.retrieve(id),
    ({ status }) => status === "in_progress",
  );
  await batches.release(undefined);
  await batches.lease("another", Date.now(), Date.now() + 60_000, 100);
  service.behaviour.create = "well";
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(service.batches).toEqual([]);
  await batches.release("another");
  // What tells a gateway of batches: here, that there is another one.
  await whenOver(gateway.openai, await begin(MODELS[1]));
  expect((await whenOver(gateway.openai, id)).request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
  expect(service.batches.map(({ protocol }) => protocol).toSorted()).toEqual(["files", "messages"]);
});

it.each([MODELS[0], MODELS[2], MODELS[3]])("the service of %s that says its lines were no good has them asked here", async (model) => {
  service.behaviour.create = "failed";
  const batch = await run(model);
  expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
  expect(service.calls).toHaveLength(3);
});
