import { describe, expect, it } from "vitest";
import type { Json } from "../../../src/canon/index.ts";
import { readConfig } from "../../../src/config/index.ts";
import { contentOptions, contentPolicies } from "../../../src/ledger/content/options.ts";
import { parsePath } from "../../../src/ledger/content/path.ts";
import { redactorOf } from "../../../src/ledger/content/redact.ts";

const VALUE: Json = {
  prompt: { items: [{ parts: [{ text: "call 555-1234 or 555-9999" }, { text: "x" }], input: '{"secret":"abc"}' }], tools: ["a"] },
  answer: { items: [{ parts: [{ text: "555-1234" }] }], "odd name": 5, none: null },
};
const path = (text: string, value: Json = VALUE): Json => redactorOf([{ name: "r", path: text, with: "#" }]).redact(value).value;

describe("patterns", () => {
  it("are replaced in every text, wherever it stands, and counted", () => {
    const { value, struck } = redactorOf([{ name: "phone", pattern: "\\d{3}-\\d{4}", flags: "", with: "$&#" }]).redact(VALUE);
    expect(JSON.stringify(value)).not.toMatch(/555-\d/);
    // A replacement is taken as it is written: it cannot bring back what was taken out.
    expect(JSON.stringify(value)).toContain("call $&# or $&#");
    expect(struck).toEqual({ phone: 3 });
    expect(redactorOf([{ name: "x", pattern: "SECRET", flags: "i", with: "" }]).redact(VALUE).struck).toEqual({ x: 1 });
    expect(redactorOf([{ name: "x", pattern: "nothing", flags: "", with: "" }]).redact(VALUE)).toEqual({ value: VALUE, struck: {} });
  });

  it("work on one after the other", () => {
    const rules = [
      { name: "a", pattern: "555", flags: "g", with: "777" },
      { name: "b", pattern: "777-\\d+", flags: "", with: "*" },
    ];
    expect(redactorOf(rules).redact("555-1").value).toBe("*");
  });
});

describe("paths", () => {
  it("name places by member, number, wildcard and depth", () => {
    expect(path("$.prompt")).toEqual({ ...(VALUE as object), prompt: "#" });
    expect(path("$.prompt.items[0].parts[1].text")).toMatchObject({
      prompt: { items: [{ parts: [{ text: "call 555-1234 or 555-9999" }, { text: "#" }] }] },
    });
    expect(path("$.prompt.items[*].parts[*]")).toMatchObject({ prompt: { items: [{ parts: ["#", "#"] }] } });
    expect(JSON.stringify(path("$..text"))).not.toMatch(/555|"x"/);
    expect(path("$.answer['odd name']")).toMatchObject({ answer: { "odd name": "#" } });
    expect(path("$..[0]")).toMatchObject({ prompt: { items: ["#"], tools: ["#"] }, answer: { items: ["#"] } });
    expect(path("$.*")).toEqual({ prompt: "#", answer: "#" });
    expect(path("$.answer.nothing.there")).toEqual(VALUE);
    expect(path("$..none")).toMatchObject({ answer: { none: "#" } });
  });

  it("that cannot be read say where", () => {
    for (const bad of ["prompt", "$", "$.", "$.a[", "$.a[b]", "$a", "$.a b", "$...a"])
      expect(() => parsePath(bad), bad).toThrow(/path|cannot be read/);
  });
});

describe("content: in the configuration", () => {
  const problems = (text: string): readonly string[] => {
    const outcome = readConfig(`version: 1\ncontent: { store: [${text}] }\n`, {});
    return outcome.ok ? [] : outcome.problems.map(({ message }) => message);
  };

  it("stores nothing unasked, and says out loud when nothing is taken out", () => {
    expect(contentPolicies(contentOptions.parse({}))).toEqual([]);
    expect(problems("{ share: 1, redact: none }")).toEqual([]);
    expect(problems("{ share: 1 }").join()).toContain("redact");
    expect(problems("{ redact: none }").join()).toContain("share");
    expect(problems("{ share: 1, redact: all }").join()).toContain("none");
  });

  it("refuses what no rule can be made of", () => {
    expect(problems("{ share: 1, redact: [{ pattern: '(' }] }").join()).toContain("regular expression");
    expect(problems("{ share: 1, redact: [{ path: 'prompt' }] }").join()).toContain("begins with $");
    expect(problems("{ share: 1, redact: [{ pattern: a, path: $.a }] }")).not.toEqual([]);
    expect(problems("{ share: 2, redact: none }")).not.toEqual([]);
    expect(problems("{ share: 1, days: 0, redact: none }")).not.toEqual([]);
    expect(problems("{ share: 1, redact: none, match: { provider: x } }").join()).toContain("provider");
    expect(problems("{ share: 1, redact: none, wat: 1 }").join()).toContain("wat");
  });

  it("names its rules by their place where they have no name", () => {
    const [policy] = contentPolicies(
      contentOptions.parse({ store: [{ share: 0.5, match: { team: "a" }, redact: [{ pattern: "x" }, { name: "n", path: "$.a" }] }] }),
    );
    expect(policy).toEqual({
      match: { team: "a" },
      share: 0.5,
      what: ["prompt", "answer"],
      days: 14,
      maxCharacters: 262_144,
      redact: [
        { name: "rule 1", pattern: "x", flags: "", with: "[redacted]" },
        { name: "n", path: "$.a", with: "[redacted]" },
      ],
    });
  });
});
