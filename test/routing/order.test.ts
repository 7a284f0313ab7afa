import { describe, expect, it } from "vitest";
import { SeededRandomness } from "../../src/kit/index.ts";
import { ORDERS, type OrderContext } from "../../src/routing/order/index.ts";
import type { TargetLatency } from "../../src/routing/view.ts";
import type { Randomness, Strategy, Target } from "../../src/canon/index.ts";
import { book, facts, target, view } from "./planning.ts";

function context(given: Partial<OrderContext> = {}): OrderContext {
  return {
    name: "a",
    facts: facts(),
    view: view({}),
    book: undefined,
    randomness: new SeededRandomness(1),
    memory: { turns: new Map(), leaders: new Map() },
    ...given,
  };
}
function order(strategy: Strategy, targets: readonly Target[], given: OrderContext): string {
  return ORDERS[strategy](targets, given)
    .map((step) => step.target.model)
    .join("");
}
const xyz = [target("x"), target("y"), target("z")];
/** Always the same draw: 0.99 explores nothing. */
const drawing = (number: number): Randomness => ({ id: (prefix) => prefix, number: () => number });
const measured = (ttftMs: number, tokensPerSecond?: number): TargetLatency => ({ ttftMs, tokensPerSecond, samples: 9 });

describe("fallback and rules", () => {
  it("keep the order and say why each target is where it is", () => {
    for (const strategy of ["fallback", "rules"] as const) {
      const steps = ORDERS[strategy](xyz, context());
      expect(steps.map(({ target: { model }, reason }) => `${model} ${reason}`)).toEqual(["x first target", "y fallback", "z fallback"]);
    }
  });
});

describe("round-robin", () => {
  it("takes turns, for each name by itself, also when a target is missing for a call", () => {
    const memory = { turns: new Map<string, number>(), leaders: new Map<string, string>() };
    const given = context({ memory });
    expect(Array.from({ length: 4 }, () => order("round-robin", xyz, given))).toEqual(["xyz", "yzx", "zxy", "xyz"]);
    expect(order("round-robin", xyz.slice(1), given)).toBe("zy");
    expect(order("round-robin", xyz, context({ memory, name: "b" }))).toBe("xyz");
  });
});

describe("weighted", () => {
  it("draws by weight and never loses a target; no weight means only a fallback", () => {
    const targets = [target("x", { weight: 3 }), target("n", { weight: 0 }), target("y", { weight: 1 })];
    const given = context();
    let heavy = 0;
    for (let draw = 0; draw < 2000; draw++) {
      const drawn = order("weighted", targets, given);
      expect(drawn).toMatch(/^(?:xyn|yxn)$/);
      if (drawn.startsWith("x")) heavy++;
    }
    expect(heavy).toBeGreaterThan(1400);
    expect(heavy).toBeLessThan(1600);
    expect(ORDERS.weighted(targets, given)[0]?.reason).toMatch(/^drawn by weight [13] of 4$/);
    expect(order("weighted", [target("a", { weight: 0 }), target("b", { weight: 0 })], given)).toBe("ab");
  });
});

describe("cost", () => {
  it("puts the cheapest for this call first, what has no price last", () => {
    const prices = book({ x: 3, y: 1, z: 2 });
    expect(order("cost", [...xyz, target("u")].toReversed(), context({ book: prices }))).toBe("yzxu");
    expect(order("cost", xyz, context())).toBe("xyz");
    const [first] = ORDERS.cost(xyz, context({ book: prices }));
    // 100 tokens in, 400 expected out, a nanodollar each.
    expect(first?.reason).toBe("about $0.000000500 for 100 tokens in and 400 out");
  });

  it("depends on the size of the call: dear input loses for a long one, dear output for a long answer", () => {
    const prices = {
      ...book({}),
      cost: (_provider: string, model: string, usage: { inputUncached: number; output: number }) =>
        model === "x" ? 10 * usage.inputUncached + usage.output : usage.inputUncached + 10 * usage.output,
    };
    const length = (characters: number, maxOutputTokens?: number): string =>
      order("cost", xyz.slice(0, 2), context({ book: prices, facts: facts({ characters, maxOutputTokens }) }));
    expect(length(400)).toBe("xy");
    expect(length(40_000)).toBe("yx");
    expect(length(400, 10)).toBe("yx");
  });
});

describe("latency", () => {
  it("puts first what is expected to be done soonest: the first token and the pace", () => {
    const speeds = { x: measured(100, 10), y: measured(900, 200), z: measured(5000, 200) };
    const given = (maxOutputTokens?: number): OrderContext =>
      context({ view: view({}, speeds), randomness: drawing(0.99), facts: facts({ maxOutputTokens }) });
    expect(order("latency", xyz, given())).toBe("yzx");
    expect(order("latency", xyz, given(1))).toBe("xyz");
    expect(ORDERS.latency(xyz, given())[0]?.reason).toBe("900 ms to the first token, 200 tokens a second (9 measured)");
  });

  it("does not flap: another takes the lead only when it is clearly faster", () => {
    const memory = { turns: new Map<string, number>(), leaders: new Map<string, string>() };
    const now = (x: number, y: number): string =>
      order(
        "latency",
        xyz.slice(0, 2),
        context({
          memory,
          randomness: drawing(0.99),
          facts: facts({ maxOutputTokens: 0 }),
          view: view({}, { x: measured(x), y: measured(y) }),
        }),
      );
    expect(now(100, 110)).toBe("xy");
    expect(now(110, 100)).toBe("xy");
    expect(now(120, 100)).toBe("yx");
    expect(now(100, 110)).toBe("yx");
  });

  it("tries what was never measured, and measures the others anew now and then", () => {
    const fresh = context({ view: view({}) });
    const firsts = new Set(Array.from({ length: 50 }, () => order("latency", xyz, fresh)[0]));
    expect(firsts).toEqual(new Set(["x", "y", "z"]));
    let tries = 0;
    let renewed = 0;
    const given = context({ view: view({}, { x: measured(10), y: measured(500) }) });
    for (let call = 0; call < 2000; call++) {
      const [first] = ORDERS.latency(xyz, given);
      if (first?.target.model === "z") tries++;
      if (first?.target.model === "y") renewed++;
      expect(ORDERS.latency(xyz, given)).toHaveLength(3);
    }
    expect(tries).toBeGreaterThan(140);
    expect(tries).toBeLessThan(260);
    expect(renewed).toBeGreaterThan(10);
    expect(renewed).toBeLessThan(80);
  });
});
