import { infinityServer } from "./infinity.ts";
import { llamacppServer } from "./llamacpp.ts";
import { lmstudioServer } from "./lmstudio.ts";
import { ollamaServer } from "./ollama.ts";
import { sglangServer } from "./sglang.ts";
import { teiServer } from "./tei.ts";
import type { ServerKind } from "./types.ts";
import { vllmServer } from "./vllm.ts";
import { workersAiServer } from "./workers-ai.ts";

/** By kind of provider: servers that tell of themselves. */
const KINDS: Readonly<Record<string, ServerKind>> = {
  vllm: vllmServer,
  sglang: sglangServer,
  llamacpp: llamacppServer,
  ollama: ollamaServer,
  lmstudio: lmstudioServer,
  tei: teiServer,
  infinity: infinityServer,
  "workers-ai": workersAiServer,
};

export const serverKinds: readonly string[] = Object.keys(KINDS);

export function serverKind(kind: string): ServerKind | undefined {
  return Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
}
