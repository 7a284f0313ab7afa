import {
  isTask,
  type Capabilities,
  type Modality,
  type ModelBook,
  type ModelCard,
  type ModelFacts,
  type ModelOperation,
  type Place,
  type Provider,
  type RealtimeProvider,
  type Snapshot,
  type Target,
} from "../canon/index.ts";

/** A provider as far as a card tells of it. */
export type CardProvider = Pick<Provider, "id" | "dialects" | "capabilities" | "tasks"> & {
  readonly realtime?: Pick<RealtimeProvider, "dialects"> | undefined;
};

export interface CardParts {
  readonly book: Pick<ModelBook, "facts" | "prices">;
  readonly provider: CardProvider;
  /** The provider's own name. */
  readonly model: string;
  /** As the configuration says of the target, else of its provider. */
  readonly place?: Place | undefined;
  /** Milliseconds since 1970; prices are dated. */
  readonly at: number;
}

/** Everything known of a model at a provider, from where routing takes it: the book's facts, and what the provider says it takes. */
export function cardOf({ book, provider, model, place, at }: CardParts): ModelCard {
  const facts = book.facts(provider.id, model);
  const capabilities = provider.capabilities(model);
  const operations = operationsOf(provider, facts);
  const prices = book.prices?.(provider.id, model, at);
  return {
    provider: provider.id,
    model,
    ...(facts?.displayName !== undefined && { displayName: facts.displayName }),
    ...(facts?.contextTokens !== undefined && { contextTokens: facts.contextTokens }),
    ...(facts?.maxOutputTokens !== undefined && { maxOutputTokens: facts.maxOutputTokens }),
    ...modalitiesOf(operations, capabilities, facts?.makes ?? []),
    ...abilitiesOf(operations, capabilities),
    operations,
    ...(facts?.operations === undefined && operations.length > 1 && { assumed: true }),
    ...(prices && { prices }),
    ...(place?.region !== undefined && { region: place.region }),
    ...(place?.residency !== undefined && { residency: place.residency }),
    ...(facts?.retentionDays !== undefined && { retentionDays: facts.retentionDays }),
    languages: languagesOf(provider, operations),
  };
}

/** Where a target runs and keeps data: as the configuration says of itself, else of its provider. */
export function placeOfTarget({ provider, place }: Target, places: Snapshot["places"]): Place {
  return { ...places?.get(provider), ...place };
}

/** What the provider takes, as far as the model can do it. */
function operationsOf({ dialects, tasks = {}, realtime }: CardProvider, facts: ModelFacts | undefined): ModelOperation[] {
  const taken: ModelOperation[] = [
    ...(dialects.length > 0 ? (["generate"] as const) : []),
    ...(realtime ? (["realtime"] as const) : []),
    ...Object.keys(tasks).filter(isTask),
  ];
  return facts?.operations ? taken.filter((operation) => facts.operations?.includes(operation)) : taken;
}

/** Besides the first of each, as the model's own capabilities say. */
const MODALITIES: Readonly<Record<ModelOperation, { readonly input: readonly Modality[]; readonly output: readonly Modality[] }>> = {
  generate: { input: ["text"], output: ["text"] },
  realtime: { input: ["text", "audio"], output: ["text", "audio"] },
  embed: { input: ["text"], output: ["vector"] },
  rerank: { input: ["text"], output: ["score"] },
  moderate: { input: ["text"], output: ["score"] },
  image: { input: ["text", "image"], output: ["image"] },
  speech: { input: ["text"], output: ["audio"] },
  transcribe: { input: ["audio"], output: ["text"] },
};

function modalitiesOf(
  operations: readonly ModelOperation[],
  { vision, files, audio }: Capabilities,
  makes: readonly Modality[],
): Pick<ModelCard, "input" | "output"> {
  const input = new Set<Modality>();
  const output = new Set<Modality>();
  for (const operation of operations) {
    for (const modality of MODALITIES[operation].input) input.add(modality);
    for (const modality of MODALITIES[operation].output) output.add(modality);
  }
  if (operations.includes("generate")) {
    if (vision) input.add("image");
    if (files) input.add("file");
    if (audio) input.add("audio");
    for (const modality of makes) output.add(modality);
  }
  return { input: [...input], output: [...output] };
}

/** What only conversations have. */
function abilitiesOf(
  operations: readonly ModelOperation[],
  { tools, structuredOutput, reasoning }: Capabilities,
): Pick<ModelCard, "tools" | "structuredOutput" | "reasoning"> {
  if (!operations.includes("generate")) return {};
  return {
    ...(tools !== undefined && { tools }),
    ...(structuredOutput !== undefined && { structuredOutput }),
    ...(reasoning !== undefined && { reasoning }),
  };
}

function languagesOf({ dialects, tasks = {}, realtime }: CardProvider, operations: readonly ModelOperation[]): string[] {
  return [
    ...new Set(
      operations.flatMap((operation) =>
        isTask(operation) ? (tasks[operation]?.dialects ?? []) : operation === "realtime" ? (realtime?.dialects ?? []) : dialects,
      ),
    ),
  ];
}
