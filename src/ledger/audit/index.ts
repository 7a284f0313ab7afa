export { Audit, hashOf, type Acting } from "./audit.ts";
export { auditing } from "./auditing.ts";
export { parseEntry, type Entry } from "./entry.ts";
export { exportHead, verifyExport, type FileVerdict } from "./export.ts";
export { openAuditKey, readAuditKey, type KeyPlace } from "./key-file.ts";
export { checkpointNow } from "./signing.ts";
export { readVerifierKey, type VerifierKey } from "./signed-note.ts";
export { ChainVerifier, type Verdict } from "./verify.ts";
