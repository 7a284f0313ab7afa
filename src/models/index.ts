export { createModelBook, defined } from "./book.ts";
export { capabilityOptions, priceOptions, type CapabilityOptions, type PriceOptions } from "./options.ts";
export { mergeOverlays, type ModelOverlay, type ModelOverride } from "./overlay.ts";
