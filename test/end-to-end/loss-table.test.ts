import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FEATURES } from "../../scripts/generate/loss-features.ts";
import { lossTable, observe } from "../../scripts/generate/loss-table.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";

/** What no gateway may lose between any two languages. */
const ALWAYS_KEPT = [
  "Standing instructions",
  "Image as data",
  "Image by URL",
  "PDF as data",
  "Parallel tool calls and their ids",
  "Tool results",
  "Function tools",
  "Strict function tools",
  "A forced tool",
  "One tool call at a time",
  "JSON Schema output",
  "Reasoning effort",
  "Cap on output tokens",
  "`temperature`",
  "`top_p`",
  "The end user's id",
];

/** What some languages have no word for; each such loss is told, and content is refused rather than dropped. */
const WITHOUT: Readonly<Record<string, readonly string[]>> = {
  "bedrock-converse": ["Image by URL", "One tool call at a time", "Reasoning effort", "The end user's id"],
  "cohere-chat": ["PDF as data", "A forced tool", "One tool call at a time", "Reasoning effort", "The end user's id"],
  gemini: ["Strict function tools", "One tool call at a time", "The end user's id"],
  "openai-completions": [
    "Standing instructions",
    "Image as data",
    "Image by URL",
    "PDF as data",
    "Parallel tool calls and their ids",
    "Tool results",
    "Function tools",
    "Strict function tools",
    "A forced tool",
    "One tool call at a time",
    "JSON Schema output",
    "Reasoning effort",
  ],
  "ollama-chat": ["Image by URL", "PDF as data", "Strict function tools", "A forced tool", "One tool call at a time", "The end user's id"],
};

const all = [...dialects.values()];
const features = FEATURES.flatMap((section) => section.features);
const ways = features.flatMap((feature) =>
  all.flatMap((from) =>
    all.filter((to) => to !== from).map((to) => ({ feature, from, to, title: `${feature.title}: ${from.id} -> ${to.id}` })),
  ),
);

describe("between two languages", () => {
  it.each(
    ways
      .filter(({ feature, from }) => ALWAYS_KEPT.includes(feature.title) && feature.said[from.id])
      .filter(({ feature, to }) => !WITHOUT[to.id]?.includes(feature.title)),
  )("nothing is lost of $title", ({ feature, from, to }) => {
    expect(observe(feature, from, to)).toEqual({ fate: "kept", reasons: [] });
  });

  it("no loss and no change is silent", () => {
    const silent = ways.filter(({ feature, from, to }) => {
      const seen = observe(feature, from, to);
      return seen && seen.fate !== "kept" && seen.reasons.length === 0;
    });
    expect(silent.map(({ title }) => title)).toEqual([]);
  });

  it("a language loses nothing to itself", () => {
    for (const feature of features) {
      for (const dialect of all) {
        if (feature.said[dialect.id])
          expect(observe(feature, dialect, dialect), `${feature.title} in ${dialect.id}`).toMatchObject({ fate: "kept" });
      }
    }
  });

  it("the published table is what is observed", () => {
    expect(readFileSync(join(import.meta.dirname, "../../docs/dialects.md"), "utf8")).toBe(lossTable());
  });
});
