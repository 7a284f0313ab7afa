export { Batches, type BatchDialect } from "./batches.ts";
export { Files } from "./files.ts";
export { batchesOptions, filesOptions } from "./options.ts";
export { BatchQueue } from "./queue.ts";
