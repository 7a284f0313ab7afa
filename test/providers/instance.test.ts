import { assert, jsonValue, property } from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json } from "../../src/canon/index.ts";
import { instanceOf } from "../../src/providers/sim/instance.ts";

describe("instanceOf", () => {
  it.each<[Json, Json]>([
    [{ type: "string" }, "text"],
    [{ type: "string", minLength: 6 }, "textab"],
    [{ type: "string", maxLength: 2 }, "te"],
    [{ type: "string", format: "uuid" }, "00000000-0000-4000-8000-000000000000"],
    [{ type: ["null", "integer"], exclusiveMinimum: 3 }, 4],
    [{ type: "integer", minimum: 3, multipleOf: 5 }, 5],
    [{ type: "number", maximum: -2 }, -2],
    [{ type: "boolean" }, true],
    [{ type: "null" }, null],
    [{ const: 7 }, 7],
    [{ enum: ["b", "a"] }, "b"],
    [{ type: "array", items: { type: "integer" }, minItems: 2 }, [0, 0]],
    [{ type: "array", items: { type: "integer" } }, []],
    [{ prefixItems: [{ type: "string" }, { type: "boolean" }] }, ["text", true]],
    [{ anyOf: [{ type: "null" }, { type: "boolean" }] }, true],
    [{ properties: { a: {}, b: { type: "integer" } }, required: ["b"] }, { b: 0 }],
    [
      {
        allOf: [{ properties: { a: { type: "integer" } }, required: ["a"] }, { $ref: "#/$defs/b" }],
        $defs: { b: { properties: { b: { type: "null" } }, required: ["b"] } },
      },
      { a: 0, b: null },
    ],
    [{ $defs: { "a/b": { const: 1 } }, $ref: "#/$defs/a~1b" }, 1],
  ])("%j", (schema, value) => {
    expect(instanceOf(schema)).toEqual(value);
  });
  it("ends where a schema refers to itself", () => {
    const node: Json = { type: "object", properties: { next: { $ref: "#" } }, required: ["next"] };
    expect(JSON.stringify(instanceOf(node)).length).toBeLessThan(500);
    expect(instanceOf({ $ref: "#" })).toBeNull();
  });
  it("survives anything that is JSON, and gives the same each time", () => {
    assert(
      property(jsonValue(), (schema) => {
        expect(instanceOf(schema as Json)).toEqual(instanceOf(schema as Json));
      }),
      { numRuns: 300, seed: 5 },
    );
  });
});
