export { createModelBook } from "./book.ts";
export { cardOf, placeOfTarget, type CardProvider } from "./card.ts";
export { defined } from "./entry.ts";
export { localPricesOptions, type LocalPrices } from "./local-options.ts";
export { capabilityOptions, modelFactShape, priceOptions, type CapabilityOptions, type PriceOptions } from "./options.ts";
export { PRICE_FILE, pricingOptions, type PricingOptions } from "./pricing-options.ts";
export { retentionOf } from "./platforms.ts";
export type { LearnedFacts, ModelOverlay, ModelOverride } from "./overlay.ts";
