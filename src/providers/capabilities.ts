import type { Capabilities, ModelFacts } from "../canon/index.ts";
import { defined } from "../models/index.ts";
import type { CatalogRow } from "./catalog.ts";
import type { ProviderOptions } from "./options.ts";
import { serverKind } from "./servers/kinds.ts";

export type LookUpFacts = (provider: string, model: string) => ModelFacts | undefined;

/** Models whose capabilities are remembered; beyond it the memory begins anew. */
const REMEMBERED = 5000;

/**
 * What a model can take here: what is assumed, then what is known of the model, then how the server speaks, then what the
 * configuration says of the provider and of the model. What either the model or the server refuses is refused.
 */
export function capabilitiesOf(
  name: string,
  options: ProviderOptions,
  row: CatalogRow,
  facts: LookUpFacts,
): (model: string) => Capabilities {
  let remembered = new Map<string, { readonly known: Capabilities | undefined; readonly capabilities: Capabilities }>();
  // Of a model whose server tells of itself more may be known later.
  const mayLearn = serverKind(options.kind ?? name) !== undefined;
  return (model) => {
    const before = remembered.get(model);
    if (before && !mayLearn) return before.capabilities;
    const known = facts(name, model)?.capabilities;
    if (before && before.known === known) return before.capabilities;
    const corrections = { ...defined(options.capabilities), ...defined(own(options.models, model)?.capabilities) };
    const refuses = [...new Set([...(row.wire.refuses ?? []), ...(known?.refuses ?? [])])];
    const capabilities: Capabilities = { ...row.assume, ...known, ...row.wire, ...(refuses.length > 0 && { refuses }), ...corrections };
    if (remembered.size >= REMEMBERED) remembered = new Map();
    remembered.set(model, { known, capabilities });
    return capabilities;
  };
}

function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record && Object.hasOwn(record, key) ? record[key] : undefined;
}
