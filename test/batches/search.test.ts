import { expect, it } from "vitest";
import type { BatchService, BatchStanding, HandedPart, StandingList } from "../../src/canon/index.ts";
import { Search } from "../../src/batches/search.ts";

const SENT_AT = 100 * 60_000;
const part = { mark: "gb1", lines: [[1, 2]], sentAt: SENT_AT } as unknown as HandedPart;
const standing = (id: string, mark: string, createdAt = SENT_AT): BatchStanding => ({
  id,
  mark,
  createdAt,
  state: "running",
  lines: 2,
  message: undefined,
  files: [],
});

/** Looks through these pages; what was asked for them is kept. */
async function search(pages: readonly StandingList[]): Promise<{ found: unknown; asked: (string | undefined)[] }> {
  const asked: (string | undefined)[] = [];
  let page: StandingList | undefined;
  const service = {
    list(after: string | undefined) {
      page = pages[asked.push(after) - 1];
      return { method: "GET", path: "/", headers: {}, body: "" };
    },
    readList: () => page,
  } as unknown as BatchService;
  const found = await new Search({
    part,
    known: new Set(),
    service: () => service,
    ask: (request) => {
      request(service);
      return Promise.resolve({ ok: true, json: {} });
    },
    results: async function* () {
      yield undefined;
    },
    wait: () => Promise.resolve(),
    isOver: () => true,
  }).find();
  return { found, asked };
}

const OLD = standing("old", "", 0);
const OURS = standing("ours", "gb1");

it("a list in no order is read past what is old, by what each page says of the next", async () => {
  const pages: StandingList[] = [
    { standings: [OLD], more: true, next: "t1", inAnyOrder: true },
    { standings: [], more: true, next: "t2", inAnyOrder: true },
    { standings: [OURS], more: false, inAnyOrder: true },
  ];
  expect(await search(pages)).toEqual({ found: OURS, asked: [undefined, "t1", "t2"] });
});

it("a list of the newest first is read until something old", async () => {
  const other = standing("other", "gb2");
  const pages: StandingList[] = [
    { standings: [other], more: true },
    { standings: [standing("third", ""), OLD], more: true },
    { standings: [OURS], more: false },
  ];
  const { found, asked } = await search(pages);
  // It looked once, and its time is over.
  expect(found).toBe("unknown");
  expect(asked).toEqual([undefined, "other"]);
});
