export { createModelBook, defined } from "./book.ts";
export { capabilityOptions, priceOptions, type CapabilityOptions, type PriceOptions } from "./options.ts";
export type { ModelOverlay, ModelOverride } from "./overlay.ts";
