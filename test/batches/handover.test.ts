import { describe, expect, it } from "vitest";
import type { BatchService } from "../../src/canon/index.ts";
import { HandOver, stretches, type HandOverDeps, type ReadyPart } from "../../src/batches/handover.ts";
import type { Draft } from "../../src/gateway/handed.ts";

const service = {
  mostLines: 2,
  mostBytes: 40,
  groupOf: ({ request }) => request.path,
  line: (id, { request }) => `${id.slice(-3)} ${request.body.toString()}`,
} as Pick<BatchService, "mostLines" | "mostBytes" | "groupOf" | "line"> as BatchService;

const draft = (model: string, body: string, path = "/a"): Draft =>
  ({
    target: { provider: "p", model, weight: 1 },
    provider: { id: "p", batches: service },
    call: { dialect: "d", operation: "generate", model, stream: false, attempt: 0, request: { method: "POST", path, headers: {}, body } },
    allowance: undefined,
  }) as unknown as Draft;

function handing(sent: () => Promise<void> = () => Promise.resolve()): { readonly hand: HandOver; readonly parts: ReadyPart[] } {
  const parts: ReadyPart[] = [];
  let ids = 0;
  const gateway = {
    randomness: { id: (prefix: string) => `${prefix}${++ids}` },
    clock: { now: () => 7 },
    health: { enter: () => ({ state: "refused" }) },
  } as unknown as HandOverDeps["gateway"];
  const send = async (ready: ReadyPart): Promise<{ readonly sent: Promise<void> }> => {
    parts.push(ready);
    return { sent: sent() };
  };
  return { hand: new HandOver({ gateway, send }), parts };
}

describe("lines that are handed over", () => {
  it("are parted by model and kind, by number and by size, in their order", async () => {
    const { hand, parts } = handing();
    for (const [line, model, body, path] of [
      [1, "m", "x", "/a"],
      [2, "n", "x", "/a"],
      [3, "m", "x", "/a"],
      [4, "m", "x", "/a"],
      [5, "m", "x".repeat(34), "/a"],
      [6, "m", "x", "/b"],
    ] as const)
      expect(await hand.add(line, draft(model, body, path))).toBe(true);
    await hand.flush();
    expect(parts.map(({ part }) => [part.model, part.group, part.lines])).toEqual([
      [
        "m",
        "/a",
        [
          [1, 1],
          [3, 3],
        ],
      ],
      ["m", "/a", [[4, 4]]],
      ["n", "/a", [[2, 2]]],
      ["m", "/a", [[5, 5]]],
      ["m", "/b", [[6, 6]]],
    ]);
    // A line goes under the mark of the part that it is in.
    expect(parts.map(({ content }) => content.toString().match(/^\S+/gm))).toEqual([["1-1", "1-3"], ["3-4"], ["2-2"], ["4-5"], ["5-6"]]);
    expect(new Set(parts.map(({ part }) => part.mark)).size).toBe(parts.length);
  });

  it("are not, where one alone is too large or of no kind that the service knows", async () => {
    const { hand, parts } = handing();
    expect(await hand.add(1, draft("m", "x".repeat(50)))).toBe(false);
    expect(await hand.add(2, draft("m", "x", undefined))).toBe(true);
    expect([...hand.lines()]).toEqual([2]);
    hand.drop();
    await hand.flush();
    expect(parts).toEqual([]);
  });
});

it("stretches of lines are as few as can be", () => {
  expect(stretches([])).toEqual([]);
  expect(stretches([1, 2, 3, 5, 7, 8])).toEqual([
    [1, 3],
    [5, 5],
    [7, 8],
  ]);
});
