export { CATALOG, catalogRow, providerKinds, telemetryNameOf, type AuthStyle, type CatalogRow } from "./catalog.ts";
export { addressOf } from "./address.ts";
export { isLoopbackHost } from "./loopback.ts";
export { createProvider, type ProviderDeps } from "./create.ts";
export { discover, type DiscoverDeps, type Discovery } from "./discover.ts";
export { overlayOf, providerOptions, type ProviderOptions } from "./options.ts";
