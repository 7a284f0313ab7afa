import { describe, expect, it } from "vitest";
import { Bag } from "../../src/kit/index.ts";

interface Thing {
  readonly name: string;
  place: number;
}
const thing = (name: string): Thing => ({ name, place: -1 });

describe("a bag", () => {
  it("holds what was added and not removed, in any order of going", () => {
    const bag = new Bag<Thing>();
    const [a, b, c] = [thing("a"), thing("b"), thing("c")];
    for (const one of [a, b, c]) bag.add(one);
    bag.remove(a);
    expect(bag.size).toBe(2);
    expect(bag.find(({ name }) => name === "a")).toBeUndefined();
    expect(bag.find(({ name }) => name === "c")).toBe(c);
    bag.remove(c);
    expect(bag.find(() => true)).toBe(b);
    bag.remove(b);
    expect(bag.size).toBe(0);
  });

  it("does nothing for a thing that is not in it, or no longer", () => {
    const bag = new Bag<Thing>();
    const [a, b] = [thing("a"), thing("b")];
    bag.add(a);
    bag.remove(b);
    bag.remove(a);
    bag.remove(a);
    expect(bag.size).toBe(0);
    bag.add(a);
    expect(bag.find(() => true)).toBe(a);
  });
});
