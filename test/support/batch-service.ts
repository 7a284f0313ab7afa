import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { JsonObject } from "../../src/canon/index.ts";
import { boundaryOf, partText, readForm } from "../../src/kit/index.ts";
import { jobLines, jobResult, jobTold, operationLines, operationResult, operationTold, related } from "./batch-protocols.ts";

/** One line as a batch service got it. */
export interface ServedLine {
  readonly customId: string;
  /** Without its version. */
  readonly path: string;
  readonly body: JsonObject;
}
export interface ServedAnswer {
  readonly status: number;
  readonly body: unknown;
  /** Of a stream, instead. */
  readonly events?: string;
}

/** OpenAI's files, Anthropic's messages, Mistral's jobs, Gemini's operations. */
export type ServedProtocol = "files" | "messages" | "jobs" | "operations";
const PREFIXES: Readonly<Record<ServedProtocol, string>> = { files: "batch", messages: "msgbatch", jobs: "job", operations: "op" };

/** A batch at the service, in one of its protocols. */
export interface ServedBatch {
  readonly id: string;
  readonly protocol: ServedProtocol;
  readonly lines: readonly ServedLine[];
  readonly metadata: unknown;
  readonly createdAt: number;
  readonly headers: IncomingMessage["headers"];
  state: "running" | "ended" | "failed" | "expired" | "cancelled";
  looks: number;
  /** Lines answered when it ends before its time. */
  answered: number;
}

/** What a test may change while it runs. */
export interface ServiceBehaviour {
  /** Looks until a batch has ended; `Infinity`: never by itself. */
  looks: number;
  answer: (line: ServedLine) => ServedAnswer;
  /** The results as they are sent. */
  results: (text: string, tries: number) => { readonly text: string; readonly type?: string; readonly status?: number };
  /** An order is kept and its answer never given, or lost; not kept at all; refused. */
  create: "well" | "silent" | "lost" | "dropped" | "refused" | "failed";
  /** Does an order that was made show in the list? */
  listed: boolean;
}

/** A server on loopback that keeps to the protocols of four batch services, and takes plain calls beside them. */
export interface TestService {
  readonly url: string;
  readonly batches: readonly ServedBatch[];
  /** Ids of files and batches that were deleted. */
  readonly deleted: readonly string[];
  /** Bodies of plain calls. */
  readonly calls: readonly { readonly path: string; readonly body: JsonObject }[];
  readonly behaviour: ServiceBehaviour;
  /** As it was in the beginning, and without anything that came. */
  reset(): void;
  close(): Promise<void>;
}

const READY: ServiceBehaviour = {
  looks: 1,
  answer: () => ({ status: 200, body: {} }),
  results: (text) => ({ text }),
  create: "well",
  listed: true,
};

export async function startService(behaviour: Partial<ServiceBehaviour> = {}): Promise<TestService> {
  const state = new ServiceState({ ...READY, ...behaviour });
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => state.serve(request, Buffer.concat(chunks), response));
    response.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    batches: state.batches,
    deleted: state.deleted,
    calls: state.calls,
    behaviour: state.behaviour,
    reset: () => {
      Object.assign(state.behaviour, READY, behaviour);
      for (const kept of [state.batches, state.deleted, state.calls]) kept.length = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

class ServiceState {
  readonly batches: ServedBatch[] = [];
  readonly deleted: string[] = [];
  readonly calls: { path: string; body: JsonObject }[] = [];
  readonly behaviour: ServiceBehaviour;
  readonly #files = new Map<string, string>();
  #tries = 0;

  constructor(behaviour: ServiceBehaviour) {
    this.behaviour = behaviour;
  }

  serve(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", "http://x");
    const [, version = "", path = url.pathname] = /^\/(v1(?:beta)?)(\/.*)$/.exec(url.pathname) ?? [];
    const [, first = "", second = "", third = "", fourth = ""] = path.split("/");
    // A verb may follow a name.
    const [id = "", verb = ""] = second.split(":");
    const method = request.method ?? "";
    if (url.pathname === "/upload/v1beta/files") {
      const made = this.#keepFile(related(request.headers, body));
      return send(response, 200, { file: { name: `files/${made}`, mimeType: "application/jsonl", state: "ACTIVE" } });
    }
    if (first === "files") return this.#file(method, id, verb === "download" ? "content" : third, request, body, response);
    const at = (protocol: ServedProtocol, of: string, what: string): void =>
      this.#batch({ protocol, method, id: of, what }, url, request, body, response);
    if (first === "batches") return version === "v1beta" ? at("operations", id, verb) : at("files", second, third);
    if (first === "messages" && second === "batches") return at("messages", third, fourth);
    if (first === "batch" && second === "jobs") return at("jobs", third, fourth);
    if (verb === "batchGenerateContent") return this.#create("operations", JSON.parse(body.toString()) as JsonObject, request, response);
    const asked = JSON.parse(body.toString()) as JsonObject;
    this.calls.push({ path, body: asked });
    const answer = this.behaviour.answer({ customId: "", path, body: asked });
    if (answer.events !== undefined) return void response.writeHead(200, { "content-type": "text/event-stream" }).end(answer.events);
    send(response, answer.status, answer.body);
  }

  #file(method: string, id: string, what: string, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    if (method === "POST") {
      const made = this.#keepFile(uploaded(request, body));
      return send(response, 200, { id: made, object: "file", bytes: body.length, purpose: "batch" });
    }
    const text = this.#files.get(id);
    if (text === undefined) return send(response, 404, { error: { message: `No such File object: ${id}` } });
    if (method === "DELETE") {
      this.deleted.push(id);
      return send(response, 200, { id, object: "file", deleted: true });
    }
    if (what === "content") return this.#sendResults(response, text);
    send(response, 200, { id, object: "file" });
  }

  #keepFile(text: string): string {
    const made = `file-${this.#files.size + 1}`;
    this.#files.set(made, text);
    return made;
  }

  #batch(
    { protocol, method, id, what }: { protocol: ServedBatch["protocol"]; method: string; id: string; what: string },
    url: URL,
    request: IncomingMessage,
    body: Buffer,
    response: ServerResponse,
  ): void {
    if (id === "" && method === "POST") return this.#create(protocol, JSON.parse(body.toString()) as JsonObject, request, response);
    if (id === "") return this.#list(protocol, url, response);
    const batch = this.batches.find((each) => each.id === id && each.protocol === protocol);
    if (!batch) return send(response, 404, { error: { message: `No batch ${id}` } });
    if (method === "DELETE") {
      this.deleted.push(id);
      return send(response, 200, { id, type: "message_batch_deleted" });
    }
    if (what === "cancel" && batch.state === "running") batch.state = "cancelled";
    if (what === "results") return this.#sendResults(response, this.#resultsOf(batch).join(""));
    if (what === "" && batch.state === "running" && ++batch.looks >= this.behaviour.looks) batch.state = "ended";
    send(response, 200, this.#told(batch));
  }

  #create(protocol: ServedBatch["protocol"], order: JsonObject, request: IncomingMessage, response: ServerResponse): void {
    const how = this.behaviour.create;
    if (how === "refused") return send(response, 403, { error: { message: "This account has no batches." } });
    if (how === "dropped") return void response.destroy();
    const lines = this.#linesOf(protocol, order, request.url ?? "");
    const batch: ServedBatch = {
      id: `${PREFIXES[protocol]}_${this.batches.length + 1}`,
      protocol,
      lines,
      metadata: order["metadata"] ?? (order["batch"] as JsonObject | undefined)?.["displayName"] ?? null,
      createdAt: Date.now(),
      headers: request.headers,
      state: how === "failed" ? "failed" : "running",
      looks: 0,
      answered: lines.length,
    };
    this.batches.push(batch);
    if (how === "lost") return void response.destroy();
    // Whoever asked is gone before it is answered.
    if (how === "silent") return;
    send(response, 200, this.#told(batch));
  }

  #linesOf(protocol: ServedProtocol, order: JsonObject, path: string): readonly ServedLine[] {
    const file = (name: unknown): string => this.#files.get(String(name)) ?? "";
    if (protocol === "files") return linesOfFile(file(order["input_file_id"]));
    if (protocol === "jobs") return jobLines(order, file);
    return protocol === "operations" ? operationLines(order, path, file) : linesOfOrder(order);
  }

  #list(protocol: ServedBatch["protocol"], url: URL, response: ServerResponse): void {
    const all = this.behaviour.listed ? this.batches.filter((each) => each.protocol === protocol).toReversed() : [];
    // Smaller pages than are asked for, so that more than one is read.
    if (protocol === "jobs") {
      const at = Number(url.searchParams.get("page")) * 2;
      const jobs = all.slice(at, at + 2).map((each) => this.#told(each));
      return send(response, 200, { object: "list", total: all.length, ...(jobs.length > 0 && { data: jobs }) });
    }
    if (protocol === "operations") {
      const at = Number(url.searchParams.get("pageToken") ?? 0);
      // In no order that is promised.
      const operations = all
        .toReversed()
        .slice(at, at + 2)
        .map((each) => this.#told(each));
      return send(response, 200, {
        ...(operations.length > 0 && { operations }),
        ...(at + 2 < all.length && { nextPageToken: String(at + 2) }),
      });
    }
    const after = url.searchParams.get(protocol === "files" ? "after" : "after_id");
    const from = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1;
    const page = all.slice(from, from + 2);
    send(response, 200, { object: "list", data: page.map((each) => this.#told(each)), has_more: from + 2 < all.length });
  }

  /** The batch as its protocol tells it. */
  #told(batch: ServedBatch): unknown {
    const { id, state, lines, createdAt, metadata, answered } = batch;
    const isOver = state !== "running" && state !== "failed";
    if (batch.protocol === "messages") {
      const rest = lines.length - answered;
      return {
        id,
        type: "message_batch",
        processing_status: isOver ? "ended" : "in_progress",
        request_counts: isOver
          ? {
              processing: 0,
              succeeded: answered,
              errored: 0,
              canceled: state === "cancelled" ? rest : 0,
              expired: state === "expired" ? rest : 0,
            }
          : { processing: lines.length, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
        created_at: new Date(createdAt).toISOString(),
        results_url: isOver ? "http://elsewhere/results" : null,
      };
    }
    if (isOver) this.#writeFiles(batch);
    const results = ["out", "err"].map((kind) => (isOver && this.#files.get(`${id}-${kind}`) !== "" ? `${id}-${kind}` : null));
    if (batch.protocol === "jobs") return jobTold(batch, results);
    if (batch.protocol === "operations") return operationTold(batch, results);
    return {
      id,
      object: "batch",
      status: state === "ended" ? "completed" : state === "running" ? "in_progress" : state,
      created_at: Math.floor(createdAt / 1000),
      metadata,
      request_counts: { total: lines.length, completed: 0, failed: 0 },
      errors: state === "failed" ? { object: "list", data: [{ code: "invalid", message: "The file is no good.", line: 1 }] } : null,
      output_file_id: results[0],
      error_file_id: results[1],
    };
  }

  #writeFiles(batch: ServedBatch): void {
    const isGood = (text: string): boolean => batch.protocol === "operations" || text.includes('"status_code":200');
    const all = this.#resultsOf(batch);
    this.#files.set(`${batch.id}-out`, all.filter(isGood).join(""));
    this.#files.set(`${batch.id}-err`, all.filter((text) => !isGood(text)).join(""));
  }

  /** In another order than the lines came in. */
  #resultsOf(batch: ServedBatch): readonly string[] {
    const unanswered = batch.state === "expired" ? "expired" : "cancelled";
    return batch.lines
      .map((line, place) => {
        const answer = place < batch.answered ? this.behaviour.answer(line) : undefined;
        const told = RESULTS[batch.protocol](line, answer, unanswered);
        return told === undefined ? "" : `${JSON.stringify(told)}\n`;
      })
      .toReversed();
  }

  #sendResults(response: ServerResponse, text: string): void {
    const told = this.behaviour.results(text, ++this.#tries);
    response.writeHead(told.status ?? 200, { "content-type": told.type ?? "application/jsonl" }).end(told.text);
  }
}

const RESULTS: Readonly<Record<ServedProtocol, (line: ServedLine, answer: ServedAnswer | undefined, unanswered: string) => unknown>> = {
  files: fileResult,
  messages: messagesResult,
  jobs: jobResult,
  operations: operationResult,
};

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function uploaded(request: IncomingMessage, body: Buffer): string {
  const form = readForm(body, boundaryOf(request.headers["content-type"] ?? "") ?? "");
  if (!form.ok) throw new Error(form.message);
  const field = (name: string): string => {
    const part = form.parts.find((each) => each.name === name);
    return (part && partText(body, part)) ?? "";
  };
  if (field("purpose") !== "batch") throw new Error("the file is for something else");
  return field("file");
}

function linesOfFile(text: string): readonly ServedLine[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const { custom_id: customId, url, body, method } = JSON.parse(line) as Record<string, unknown>;
      if (method !== "POST") throw new Error("a line is no POST");
      return { customId: String(customId), path: String(url).replace(/^\/v1/, ""), body: body as JsonObject };
    });
}

function linesOfOrder({ requests }: JsonObject): readonly ServedLine[] {
  return (requests as unknown as { custom_id: string; params: JsonObject }[]).map(({ custom_id: customId, params }) => {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(customId)) throw new Error(`no custom_id: ${customId}`);
    return { customId, path: "/messages", body: params };
  });
}

function fileResult({ customId }: ServedLine, answer: ServedAnswer | undefined, unanswered: string): unknown {
  const base = { id: `batch_req_${customId}`, custom_id: customId };
  if (answer) return { ...base, response: { status_code: answer.status, request_id: "req_1", body: answer.body }, error: null };
  // A line that was cancelled is in neither file.
  if (unanswered === "cancelled") return undefined;
  return { ...base, response: null, error: { code: "batch_expired", message: "This request could not be executed in time." } };
}

function messagesResult({ customId }: ServedLine, answer: ServedAnswer | undefined, unanswered: string): unknown {
  if (!answer) return { custom_id: customId, result: { type: unanswered === "cancelled" ? "canceled" : "expired" } };
  const result = answer.status === 200 ? { type: "succeeded", message: answer.body } : { type: "errored", error: answer.body };
  return { custom_id: customId, result };
}
