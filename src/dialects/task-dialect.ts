import {
  defineDialect,
  isTask,
  ProblemError,
  type Dialect,
  type Headers,
  type JsonObject,
  type Needs,
  type Problem,
  type TaskCodec,
  type TaskCodecs,
} from "../canon/index.ts";
import { decodeProblem, encodeProblem } from "./openai-chat/problem.ts";

const NOTHING: Needs = { vision: false, files: false, audio: false, tools: false, structuredOutput: false };

/** What a language of tasks says of itself. Its errors are read and written as most do it, unless it says otherwise. */
export interface TaskDialectParts extends Pick<Dialect, "id" | "title" | "doors"> {
  readonly tasks: TaskCodecs;
  readonly credentials?: Dialect["credentials"];
  readonly requestIdHeader?: string;
  readonly modelInPath?: true;
  /** The body of an error. */
  readonly problemBody?: (problem: Problem, callId: string) => JsonObject;
}

/**
 * A wire language that has tasks and no conversation. Whatever belongs to a conversation it refuses: no door leads there, and no provider
 * is asked for one in it.
 */
export function defineTaskDialect(parts: TaskDialectParts): Dialect {
  const { id, title, doors, tasks, problemBody, credentials = bearer, requestIdHeader, modelInPath } = parts;
  const none = (): never => {
    throw new ProblemError({ kind: "unsupported", message: `${title} has no conversations.` });
  };
  return defineDialect({
    id,
    title,
    doors,
    tasks,
    tasksOnly: true,
    ...(requestIdHeader !== undefined && { requestIdHeader }),
    ...(modelInPath && { modelInPath }),
    credentials,
    outline: (body, context) => taskCodec({ tasks, title }, context.operation).outline(body, context),
    needs: () => NOTHING,
    decodeCall: none,
    encodeCall: none,
    forwardCall: none,
    decodeAnswer: none,
    encodeAnswer: none,
    decodeEvents: none,
    encodeEvents: none,
    usageFrames: none,
    readAnswer: none,
    decodeProblem: (response) => ({ ...decodeProblem(response), ...upstreamOf(decodeProblem(response), id) }),
    encodeProblem(problem, callId) {
      const { upstream } = problem;
      const verbatim = problem.kind === "upstream_rejected" && upstream?.dialect === id && upstream.body !== undefined;
      const { status, body } = encodeProblem(problem, callId);
      return { status, body: verbatim ? (upstream.body ?? body) : problemBody ? problemBody(problem, callId) : body };
    },
    encodeProblemFrames(problem, callId, emit) {
      emit("error", JSON.stringify(problemBody ? problemBody(problem, callId) : encodeProblem(problem, callId).body));
    },
  });
}

/** The refusal came in this language, whoever read it. */
function upstreamOf({ upstream }: Problem, dialect: string): Pick<Problem, "upstream"> {
  return upstream ? { upstream: { ...upstream, dialect } } : {};
}

function taskCodec({ tasks, title }: { readonly tasks: TaskCodecs; readonly title: string }, operation: string): TaskCodec {
  const codec = isTask(operation) ? tasks[operation] : undefined;
  if (!codec) throw new ProblemError({ kind: "unsupported", message: `${title} has no words for this.` });
  return codec;
}

export function bearer(headers: Headers): string | undefined {
  return /^bearer\s+(\S+)\s*$/i.exec(headers["authorization"] ?? "")?.[1] ?? (headers["api-key"]?.trim() || undefined);
}
