import { setTimeout as wait } from "node:timers/promises";
import { EngineError, type Engine, type ModelSpec, type Outcome } from "../../../src/providers/local/protocol.ts";

// Stands in place of a real engine in a real child process, and does what the last turn of the conversation says: only so can a process
// be made to crash, to fill its memory or to hang at will.

const USAGE = { input: 3, cached: 1, output: 2 };
const held: Buffer[] = [];

export function openEngine(spec: ModelSpec): Promise<Engine> {
  if (spec.threads === 7) throw new EngineError({ kind: "unsupported", message: `${spec.path} cannot be read as a GGUF model.` });
  if (spec.threads === 8) return new Promise(() => {});
  return Promise.resolve({
    opened: { contextTokens: 64 },
    async run(job, tell, signal): Promise<Outcome> {
      if (job.does === "embed") return { did: "embed", vectors: job.texts.map((text) => Float32Array.of(text.length, 0.5)), usage: USAGE };
      const turn = job.does === "chat" ? job.turns.at(-1) : undefined;
      const order = turn && turn.role !== "model" ? turn.text : "";
      if (order === "crash") {
        tell({ is: "text", text: "half" });
        await wait(20);
        process.kill(process.pid, "SIGSEGV");
      }
      if (order === "fill")
        for (;;) {
          held.push(Buffer.alloc(16 * 1024 * 1024, 1));
          await wait(5);
        }
      if (order === "spin") for (;;);
      if (order === "hang") await wait(3_600_000, undefined, { signal });
      if (order === "environment") tell({ is: "text", text: Object.keys(process.env).join(" ") });
      else if (order === "call") tell({ is: "call", name: "look", input: '{"at":1}' });
      else for (const text of ["one ", "two"]) tell({ is: "text", text });
      return { did: "chat", stop: order === "call" ? "calls" : "end", usage: USAGE };
    },
  });
}
