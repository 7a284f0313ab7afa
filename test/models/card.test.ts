import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Call, Needs, Operation, Provider, Snapshot, Target } from "../../src/canon/index.ts";
import { readConfig, snapshotOf } from "../../src/config/index.ts";
import { bookOf, openProviders } from "../../src/in-force.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { cardOf, createModelBook, placeOfTarget } from "../../src/models/index.ts";
import { CallFacts, type FactsSource } from "../../src/routing/facts.ts";
import { Fit } from "../../src/routing/fit.ts";

const NOON = Date.UTC(2026, 10, 1, 12);
const CONFIG = `version: 1
providers:
  openai: { apiKey: x, region: eu-west-1 }
  anthropic: { apiKey: x }
  gemini: { apiKey: x }
  cohere: { apiKey: x }
  mistral: { apiKey: x, residency: eu }
  lab:
    kind: openai-compatible
    baseUrl: http://127.0.0.1:9999/v1
    apiKey: x
    allowPrivateNetwork: true
    models:
      small: { operations: [rerank], retentionDays: 3, price: { inputUsd: 0.1, outputUsd: 0.4 } }
      unknown: {}
models: { any: { targets: [openai/gpt-5-mini] }, near: { targets: [openai/gpt-5-mini], requires: { region: eu } } }
`;

let snapshot: Snapshot;
let providers: ReadonlyMap<string, Provider>;
let book: ReturnType<typeof createModelBook>;
beforeAll(() => {
  const read = readConfig(CONFIG, {});
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  book = bookOf(read.config);
  providers = openProviders(read.config, { clock: new ManualClock(), env: {}, randomness: new SeededRandomness(1), book });
  snapshot = snapshotOf(read.config, 1, providers);
});
afterAll(() => Promise.all([...providers.values()].map((provider) => provider.close())));

function card(provider: string, model: string) {
  const there = providers.get(provider);
  if (!there) throw new Error(provider);
  return cardOf({ book, provider: there, model, place: placeOfTarget({ provider, model, weight: 1 }, snapshot.places), at: NOON });
}

const NONE: Needs = { vision: false, files: false, audio: false, tools: false, structuredOutput: false };

/** What routing says of a call at a target; undefined: nothing against it. */
function fault(target: Pick<Target, "provider" | "model">, operation: Operation, needs: Partial<Needs> = {}, alias = "any") {
  const source: FactsSource = {
    operation,
    dialect: "openai-chat",
    caller: { id: "c", scope: "c", name: "c", scopes: {}, limits: [], anonymous: true },
    model: alias,
    stream: false,
    characters: 4,
    maxOutputTokens: undefined,
    metadata: {},
    session: undefined,
    requires: undefined,
    labels: [],
    needs: () => ({ ...NONE, ...needs }),
    call: () => ({}) as Call,
    excess: () => undefined,
  } as unknown as FactsSource;
  const behind = snapshot.aliases.get(alias);
  if (!behind) throw new Error(alias);
  return new Fit(snapshot, behind, new CallFacts(source), book).fault({ ...target, weight: 1 });
}

describe("the card of a model", () => {
  it("has what makers publish, prices in exact nanodollars", () => {
    expect(card("openai", "gpt-5-mini")).toEqual({
      provider: "openai",
      model: "gpt-5-mini",
      displayName: expect.any(String) as string,
      contextTokens: 400_000,
      maxOutputTokens: 128_000,
      input: ["text", "image", "file"],
      output: ["text"],
      tools: true,
      structuredOutput: true,
      reasoning: true,
      operations: ["generate"],
      prices: {
        input: 250_000_000,
        cacheRead: 25_000_000,
        cacheWrite: 250_000_000,
        output: 2_000_000_000,
        media: expect.anything() as unknown,
      },
      region: "eu-west-1",
      retentionDays: 30,
      languages: ["openai-responses", "openai-chat"],
    });
    expect(card("gemini", "gemini-2.5-pro").prices?.longer).toEqual([
      { aboveInputTokens: 200_000, input: 2_500_000_000, cacheRead: 250_000_000, output: 15_000_000_000 },
    ]);
    expect(card("gemini", "gemini-2.5-flash-image").output).toEqual(["text", "image"]);
    expect(card("openai", "whisper-1")).toMatchObject({
      operations: ["transcribe"],
      input: ["audio"],
      output: ["text"],
      languages: ["openai-tasks"],
    });
    expect(card("openai", "text-embedding-3-small")).toMatchObject({ operations: ["embed"], output: ["vector"] });
    expect(card("openai", "text-embedding-3-small").tools).toBeUndefined();
    expect(card("mistral", "mistral-large-latest")).toMatchObject({ residency: "eu" });
  });

  it("says what is assumed and leaves out what nobody knows", () => {
    const unknown = card("lab", "unknown");
    expect(unknown).toMatchObject({ assumed: true, operations: expect.arrayContaining(["generate", "embed"]) as string[] });
    expect(unknown.prices).toBeUndefined();
    expect(unknown.retentionDays).toBeUndefined();
    expect(unknown.contextTokens).toBeUndefined();
  });

  it("takes what the configuration says over everything else", () => {
    const small = card("lab", "small");
    expect(small).toMatchObject({ operations: ["rerank"], retentionDays: 3, prices: { input: 100_000_000, output: 400_000_000 } });
    expect(small.assumed).toBeUndefined();
  });

  it("lists what the price package knows of a provider, each platform its own models", () => {
    const known = (provider: string) => book.known?.(provider) ?? [];
    expect(known("anthropic").length).toBeGreaterThan(10);
    expect(known("gemini").filter((model) => model.includes("claude"))).toEqual([]);
    for (const kind of ["vertex-anthropic", "bedrock-anthropic"]) {
      const hosted = createModelBook().known?.(kind) ?? [];
      expect(hosted.length, kind).toBeGreaterThan(5);
      expect(hosted.every((model) => model.includes("claude"))).toBe(true);
    }
    expect(known("lab")).toEqual([]);
    expect(known("__proto__")).toEqual([]);
    expect(book.facts("__proto__", "constructor")).toBeUndefined();
  });
});

describe("routing", () => {
  const models = (): readonly { readonly provider: string; readonly model: string }[] => [
    ...["openai", "anthropic", "gemini", "cohere", "mistral"].flatMap((provider) =>
      (book.known?.(provider) ?? []).map((model) => ({ provider, model })),
    ),
    { provider: "lab", model: "small" },
    { provider: "lab", model: "unknown" },
  ];

  it("keeps calls from exactly those models whose card says that they cannot take them", () => {
    let refused = 0;
    for (const target of models()) {
      const shown = card(target.provider, target.model);
      for (const operation of ["embed", "rerank", "moderate", "image", "speech", "transcribe"] as const) {
        const why = fault(target, operation);
        expect([target, operation, why !== undefined]).toEqual([target, operation, !shown.operations.includes(operation)]);
        if (why !== undefined) refused++;
      }
      if (providers.get(target.provider)?.dialects.length === 0 || !shown.operations.includes("generate")) continue;
      expect(fault(target, "generate")).toBeUndefined();
      for (const [need, has] of [
        ["tools", shown.tools],
        ["structuredOutput", shown.structuredOutput],
        ["vision", shown.input.includes("image")],
        ["audio", shown.input.includes("audio")],
      ] as const) {
        const why = fault(target, "generate", { [need]: true });
        if (why !== undefined) expect([target, need, has]).toEqual([target, need, false]);
        if (has) expect([target, need, why]).toEqual([target, need, undefined]);
      }
    }
    expect(refused).toBeGreaterThan(100);
  });

  it("keeps conversations from models that only embed, and says so", () => {
    expect(fault({ provider: "openai", model: "text-embedding-3-small" }, "generate")).toBe("takes no conversations");
    expect(fault({ provider: "openai", model: "gpt-5-mini" }, "embed")).toBe("takes no embeddings");
    expect(fault({ provider: "lab", model: "unknown" }, "embed")).toBeUndefined();
    expect(fault({ provider: "openai", model: "text-embedding-3-small" }, "count_tokens")).toBeUndefined();
  });

  it("holds to the region that the card shows", () => {
    expect(fault({ provider: "openai", model: "gpt-5-mini" }, "generate", {}, "near")).toBeUndefined();
    expect(card("anthropic", "claude-sonnet-4-5").region).toBeUndefined();
    expect(fault({ provider: "anthropic", model: "claude-sonnet-4-5" }, "generate", {}, "near")).toContain("has no region");
  });
});
