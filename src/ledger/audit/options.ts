import { z } from "zod";
import { isKeyName } from "./signed-note.ts";

const MOST_ENTRIES = 1_000_000;
const MOST_MINUTES = 30 * 24 * 60;

/** `audit:` of `gimbal.yaml`. In force from the next start. */
export const auditOptions = z.strictObject({
  keyName: z
    .string()
    .max(200)
    .refine(isKeyName, "a name without white space and plus signs, such as audit.example.com/gimbal")
    .optional()
    .describe("What the key that signs checkpoints is called, and the log with it. Default: a unique name, made with the key."),
  keyFile: z
    .string()
    .min(1)
    .optional()
    .describe("Where that key is kept, from the data folder. Default: `audit.key`. Several gateways on one database share one key."),
  checkpointEntries: z
    .int()
    .min(1)
    .max(MOST_ENTRIES)
    .default(1000)
    .describe("A checkpoint is signed after so many new entries of one process."),
  checkpointMinutes: z
    .number()
    .positive()
    .max(MOST_MINUTES)
    .default(60)
    .describe("And after so many minutes, where there is anything new; also when the gateway stops."),
});

export type AuditOptions = z.output<typeof auditOptions>;
