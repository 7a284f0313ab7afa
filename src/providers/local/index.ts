import { resolve } from "node:path";
import {
  checkCall,
  FlatNames,
  isTask,
  offeredTools,
  ProblemError,
  problemFrom,
  type Call,
  type Capabilities,
  type Clock,
  type Dialect,
  type JsonObject,
  type Problem,
  type Provider,
  type Randomness,
  type UpstreamCall,
  type UpstreamHandle,
  type UpstreamSink,
} from "../../canon/index.ts";
import { nearest, parseJson } from "../../kit/index.ts";
import { defined } from "../../models/index.ts";
import { prepareCounting } from "../../models/tokens.ts";
import { IN_PROCESS, type ProviderOptions } from "../options.ts";
import { tasksFrom } from "../task-options.ts";
import { checkGguf, checkOnnx, sizeOf } from "./files.ts";
import { Flow } from "./flow.ts";
import { findPackage, type PackagePlaces } from "./packages.ts";
import { defaultThreads } from "./processors.ts";
import type { LocalTask, ModelSpec } from "./protocol.ts";
import { Reply } from "./reply.ts";
import { chatJob } from "./request.ts";
import { Supervisor } from "./supervisor.ts";
import { jobOf, readTask, resultOf } from "./tasks.ts";

const MIB = 1024 * 1024;
const BESIDE_MIB = 2048;
const OPEN_MS = 300_000;
const CHAT = "openai-chat";

/** Packages and engines, by what a model is kept in. */
const GGUF = { library: "node-llama-cpp", engine: new URL("./llama-engine.ts", import.meta.url).href } as const;
const ONNX = { library: "@huggingface/transformers", engine: new URL("./onnx-engine.ts", import.meta.url).href } as const;

export interface LocalDeps extends PackagePlaces {
  readonly dialects: ReadonlyMap<string, Dialect>;
  readonly clock: Clock;
  readonly randomness: Randomness;
  /** Where relative paths begin. */
  readonly folder: string;
  /** Instead of the real engines: a module that exports `openEngine`. For tests of how processes are looked after. */
  readonly engine?: string;
}

type ModelOptions = NonNullable<ProviderOptions["models"]>[string];

interface LocalModel {
  readonly options: ModelOptions;
  readonly task: LocalTask;
  readonly supervisor: Supervisor;
}

const CAPABILITIES: Capabilities = {
  tools: true,
  structuredOutput: true,
  streamUsage: true,
  reasoning: false,
  vision: false,
  files: false,
  audio: false,
  prefill: true,
  maxTokensField: "max_completion_tokens",
  instructionsRole: "system",
  reasoningField: "reasoning_content",
};

/**
 * Models that run on this machine, each in a process of its own.
 *
 * @throws ProblemError invalid_request, with what to write into the configuration
 */
export function createLocalProvider(name: string, options: ProviderOptions, deps: LocalDeps): Provider {
  const models = new Map<string, LocalModel>();
  for (const [model, own] of Object.entries(options.models ?? {})) {
    const refusal = faultIn(own);
    if (refusal !== undefined)
      throw new ProblemError({
        kind: "invalid_request",
        message: `The model "${model}" of the provider "${name}" ${refusal}.`,
        param: `providers.${name}.models.${model}`,
      });
    const task = taskOf(own);
    const supervisor = new Supervisor({
      name: `${name}/${model}`,
      spec: () => specOf(own, task, deps),
      memoryMiB: own.memoryMiB ?? Math.ceil((sizeOf(pathOf(own, deps)) * 1.5) / MIB) + BESIDE_MIB,
      openTimeoutMs: own.openTimeoutMs ?? OPEN_MS,
      clock: deps.clock,
      env: deps.env,
    });
    models.set(model, { options: own, task, supervisor });
  }
  const running = Object.entries(options.models ?? {}).flatMap(([model, { concurrency }]) =>
    concurrency === undefined ? [] : [[model, concurrency] as const],
  );
  return {
    id: name,
    dialects: [CHAT],
    capacity: {
      ...(options.concurrency !== undefined && { concurrency: options.concurrency }),
      ...(running.length > 0 && { models: new Map(running) }),
    },
    tasks: tasksFrom(IN_PROCESS, options.tasks),
    capabilities: (model) => ({ ...CAPABILITIES, ...defined(options.capabilities), ...defined(models.get(model)?.options.capabilities) }),
    open: (call, sink) => openCall(name, models, call, sink, deps),
    models: () => Promise.resolve([...models.keys()]),
    check: () => Promise.resolve(checkModels(models, deps)),
    close: async () => void (await Promise.all([...models.values()].map(({ supervisor }) => supervisor.close()))),
  };
}

function openCall(
  provider: string,
  models: ReadonlyMap<string, LocalModel>,
  call: UpstreamCall,
  sink: UpstreamSink,
  deps: LocalDeps,
): UpstreamHandle {
  const flow = new Flow(sink);
  try {
    const model = models.get(call.model);
    if (!model) throw new ProblemError(unknownModel(provider, call.model, models.keys()));
    const dialect = deps.dialects.get(call.dialect);
    if (!dialect) throw new ProblemError({ kind: "internal", message: `Models in process do not speak "${call.dialect}".` });
    if (isTask(call.operation)) runTask(provider, model, dialect, call, flow, deps);
    else runChat(provider, model, dialect, call, flow, deps);
  } catch (error) {
    flow.problem(problemFrom(error));
  }
  return flow;
}

function runChat(provider: string, model: LocalModel, dialect: Dialect, upstream: UpstreamCall, flow: Flow, deps: LocalDeps): void {
  if (model.task !== "chat")
    throw new ProblemError({
      kind: "unsupported",
      message: `The model ${provider}/${upstream.model} has no conversations.`,
      param: "model",
    });
  if (upstream.operation !== "generate")
    throw new ProblemError({ kind: "unsupported", message: "Models in process only answer conversations.", param: "model" });
  const call = readCall(dialect, upstream);
  // What a crash leaves is counted before it is told; while the first model is opened everybody waits in any case.
  if (model.supervisor.pid === undefined) deps.clock.after(0, prepareCounting);
  const names = new FlatNames(offeredTools(call));
  const job = chatJob(call, names);
  const unique = deps.randomness.id("");
  const createdAt = Math.floor(deps.clock.now() / 1000);
  const reply = new Reply({ dialect, call, names, provider, model: upstream.model, unique, createdAt }, upstream.stream);
  const headers = { "content-type": reply.contentType };
  flow.runs(
    model.supervisor.run(job, {
      onPiece: (piece) => {
        const bytes = reply.piece(piece);
        if (bytes.length > 0) flow.write(200, headers, bytes);
      },
      onDone: (outcome) => {
        if (outcome.did === "chat") flow.write(200, headers, reply.done(outcome));
        flow.end();
      },
      onProblem: (problem) => flow.problem(problem),
    }),
  );
}

function runTask(provider: string, model: LocalModel, dialect: Dialect, upstream: UpstreamCall, flow: Flow, deps: LocalDeps): void {
  const task = readTask(dialect, upstream);
  const job = jobOf(task);
  if (job.does !== model.task)
    throw new ProblemError({
      kind: "unsupported",
      message: `The model ${provider}/${upstream.model} is for ${model.task}, not for ${job.does}.`,
      param: "model",
    });
  const context = { task, model: upstream.model, unique: deps.randomness.id(""), createdAt: Math.floor(deps.clock.now() / 1000) };
  flow.runs(
    model.supervisor.run(job, {
      onPiece: () => {},
      onDone: (outcome) => {
        try {
          const result = resultOf(task, outcome, upstream.model, model.options.harmless);
          const codec = dialect.tasks?.[task.operation];
          flow.write(200, { "content-type": "application/json" }, Buffer.from(JSON.stringify(codec?.encodeResult(result, context))));
          flow.end();
        } catch (error) {
          flow.problem(problemFrom(error));
        }
      },
      onProblem: (problem) => flow.problem(problem),
    }),
  );
}

/** @throws ProblemError for whatever a careful upstream would refuse */
function readCall(dialect: Dialect, { request, operation, model, stream }: UpstreamCall): Call {
  const body = parseJson(typeof request.body === "string" ? request.body : request.body.toString("utf8"));
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new ProblemError({ kind: "invalid_request", message: "The body is not a JSON object." });
  const params = { model, ...(stream && { stream: "true" }) };
  const call = dialect.decodeCall(body as JsonObject, { operation, headers: request.headers, params });
  const problem = checkCall(call);
  if (problem) throw new ProblemError(problem);
  return call;
}

function faultIn(own: ModelOptions): string | undefined {
  const named = [own.file, own.folder, own.hub].filter((place) => place !== undefined).length;
  if (named !== 1) return "needs one of `file`, `folder` and `hub`";
  if (own.hub !== undefined && own.allowDownload !== true) return "is on a hub, which needs `allowDownload: true`";
  if (own.file !== undefined && own.task !== undefined && own.task !== "chat" && own.task !== "embed")
    return `cannot be for ${own.task}: GGUF files are for chat and embed`;
  if (own.file === undefined && own.task === "chat") return "cannot be for chat: that takes a GGUF `file`";
  return undefined;
}

function taskOf({ task, file }: ModelOptions): LocalTask {
  return task ?? (file === undefined ? "embed" : "chat");
}

function pathOf({ file, folder, hub }: ModelOptions, deps: LocalDeps): string {
  return hub ?? resolve(deps.folder, file ?? folder ?? "");
}

/** What is missing or cannot be used, before a process is started for it. */
function checkFiles(own: ModelOptions, deps: LocalDeps): Problem | undefined {
  if (own.hub !== undefined) return undefined;
  const path = pathOf(own, deps);
  return own.file === undefined ? checkOnnx(path, own.dtype ?? "fp32") : checkGguf(path);
}

function specOf(
  own: ModelOptions,
  task: LocalTask,
  deps: LocalDeps,
): { readonly ok: true; readonly spec: ModelSpec } | { readonly ok: false; readonly problem: Problem } {
  const problem = checkFiles(own, deps);
  if (problem) return { ok: false, problem };
  const kept = own.file === undefined ? ONNX : GGUF;
  const found = deps.engine === undefined ? findPackage(kept.library, deps) : { ok: true as const, url: "" };
  if (!found.ok) return { ok: false, problem: { kind: "unsupported", code: "package_missing", message: found.message } };
  return {
    ok: true,
    spec: {
      task,
      path: pathOf(own, deps),
      engine: deps.engine ?? kept.engine,
      library: found.url,
      contextTokens: own.contextTokens,
      gpuLayers: own.gpuLayers,
      sequences: own.sequences ?? 1,
      threads: own.threads ?? defaultThreads(),
      pooling: own.pooling ?? "mean",
      normalize: own.normalize ?? true,
      dtype: own.dtype ?? "fp32",
      ...(own.hub !== undefined && { hub: own.hub, cacheFolder: resolve(deps.dataFolder ?? deps.folder, "models") }),
    },
  };
}

function checkModels(models: ReadonlyMap<string, LocalModel>, deps: LocalDeps): { readonly ok: boolean; readonly detail: string } {
  const faults = [...models].flatMap(([name, { options, task }]) => {
    const spec = specOf(options, task, deps);
    return spec.ok ? [] : [`${name}: ${spec.problem.message}`];
  });
  if (faults.length > 0) return { ok: false, detail: faults.join(" ") };
  if (models.size === 0) return { ok: false, detail: "No models are named: give each a `file` or a `folder` under `models`." };
  return { ok: true, detail: `${models.size} model${models.size === 1 ? "" : "s"} can be opened on this machine.` };
}

function unknownModel(provider: string, model: string, names: Iterable<string>): Problem {
  const like = nearest(model, names);
  const hint = like ? ` Did you mean "${provider}/${like}"?` : "";
  return { kind: "unknown_model", message: `There is no model "${provider}/${model.slice(0, 200)}".${hint}`, param: "model" };
}
