import { EngineError, type Engine, type Fault, type FromChild, type ModelSpec, type OpenEngine, type ToChild } from "./protocol.ts";

// The process in which one model runs. It is told what to open and what to do over its channel, and ends when its parent does.

const running = new Map<number, AbortController>();
let engine: Engine | undefined;

const say = (message: FromChild): void => void process.send?.(message);

process.on("disconnect", () => process.exit(0));
// A terminal sends these to the whole group; the parent lets calls finish first and then closes the channel.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("message", (message: ToChild) => {
  switch (message.tell) {
    case "open":
      return void open(message.spec);
    case "run":
      return void run(message.id, message.job);
    case "cancel":
      return running.get(message.id)?.abort();
  }
});

async function open(spec: ModelSpec): Promise<void> {
  try {
    const { openEngine } = (await import(spec.engine)) as { readonly openEngine: OpenEngine };
    engine = await openEngine(spec);
    say({ said: "opened", opened: engine.opened });
  } catch (error) {
    say({ said: "unusable", fault: faultOf(error, `The model ${spec.path} cannot be opened`) });
  }
}

async function run(id: number, job: Parameters<Engine["run"]>[0]): Promise<void> {
  const stop = new AbortController();
  running.set(id, stop);
  try {
    if (!engine) throw new EngineError({ kind: "upstream_unavailable", message: "The model is not open yet." });
    const outcome = await engine.run(job, (piece) => say({ said: "piece", id, piece }), stop.signal);
    say({ said: "done", id, outcome });
  } catch (error) {
    say({ said: "failed", id, fault: stop.signal.aborted ? CANCELLED : faultOf(error, "The model failed") });
  } finally {
    running.delete(id);
  }
}

const CANCELLED: Fault = { kind: "cancelled", message: "The caller cancelled the call." };
/** Libraries of models can say very much. */
const MOST_CHARACTERS = 1000;

function faultOf(error: unknown, what: string): Fault {
  if (error instanceof EngineError) return error.fault;
  const message = (error instanceof Error ? error.message : String(error)).slice(0, MOST_CHARACTERS);
  return { kind: "upstream_unavailable", message: `${what}: ${message.trim().replace(/\.$/, "")}.` };
}
