import { parentPort } from "node:worker_threads";
import type { ContentPolicy, Redactor } from "../../canon/index.ts";
import { languages as dialects } from "../../dialects/registry.generated.ts";
import { redactorOf } from "../content/redact.ts";
import { make, type Made } from "./make.ts";
import { unpack, type Packed } from "./pack.ts";

/** To the thread. `policies`: those that remnants from now on may name, by number. */
export interface ToAside {
  readonly policies: readonly (readonly [number: number, policy: ContentPolicy])[];
  readonly batch: Packed;
}
/** From it, in the same order. */
export interface FromAside {
  readonly made: Made;
  /** The batch's memory comes back. */
  readonly bytes: ArrayBuffer;
}

/** Reads what is left of calls, beside the thread that serves them. */
function serve(port: NonNullable<typeof parentPort>): void {
  const policies = new Map<number, { readonly policy: ContentPolicy; readonly redactor: Redactor | undefined }>();
  port.on("message", ({ policies: added, batch }: ToAside) => {
    for (const [number, policy] of added)
      policies.set(number, { policy, redactor: policy.redact === "none" ? undefined : redactorOf(policy.redact) });
    const { bytes } = batch;
    port.postMessage({ made: make(unpack(batch), { dialects, policies }), bytes } satisfies FromAside, [bytes]);
  });
}

if (parentPort) serve(parentPort);
