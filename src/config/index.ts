export { SIM } from "./aliases.ts";
export type { ConfigProblem } from "./document.ts";
export { formatProblems, readConfig, type ConfigOutcome, type GimbalConfig } from "./read.ts";
export { configSchema, DEFAULT_HOST, DEFAULT_PORT } from "./schema.ts";
export { defaultConfig, snapshotOf, type Discovered } from "./snapshot.ts";
export { ConfigControl } from "./control.ts";
export { patchModel, type ModelPatch } from "./patch.ts";
export { maskSecrets } from "./secrets.ts";
export { diffVersions, versionAtStart } from "./versions.ts";
