import type { Capabilities, Headers, Provider, UpstreamCall, UpstreamSink } from "../../src/canon/index.ts";

/** One scripted answer: pieces of the body, then an end or a failure. */
export interface Script {
  readonly status?: number;
  readonly headers?: Headers;
  readonly body?: readonly string[];
  readonly fails?: "before" | "after" | "never-ends";
}

/** A provider that plays scripts in order and remembers what it was sent. */
export class ScriptedProvider implements Provider {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly calls: UpstreamCall[] = [];
  cancelled = 0;
  readonly #scripts: Script[];
  readonly #capabilities: Capabilities;

  constructor(id: string, dialects: readonly string[], scripts: readonly Script[], capabilities: Capabilities = {}) {
    this.id = id;
    this.dialects = dialects;
    this.#scripts = [...scripts];
    this.#capabilities = capabilities;
  }
  capabilities(): Capabilities {
    return this.#capabilities;
  }
  open(call: UpstreamCall, sink: UpstreamSink): { cancel(): void; resume(): void } {
    this.calls.push(call);
    const script = this.#scripts.shift() ?? { status: 500, body: ["no script left"] };
    let stopped = false;
    queueMicrotask(() => {
      if (script.fails === "before") return sink.onProblem({ kind: "upstream_unavailable", message: "refused" });
      sink.onHead(
        script.status ?? 200,
        script.headers ?? { "content-type": script.body?.[0]?.startsWith("{") ? "application/json" : "text/event-stream" },
      );
      for (const piece of script.body ?? []) if (!stopped) sink.onData(Buffer.from(piece));
      if (stopped || script.fails === "never-ends") return;
      if (script.fails === "after") return sink.onProblem({ kind: "upstream_broken", message: "reset" });
      sink.onEnd();
    });
    return {
      cancel: () => {
        stopped = true;
        this.cancelled++;
      },
      resume: () => {},
    };
  }
  async models(): Promise<readonly string[]> {
    return [];
  }
  async check(): Promise<{ ok: boolean; detail: string }> {
    return { ok: true, detail: "scripted" };
  }
  async close(): Promise<void> {}
}
