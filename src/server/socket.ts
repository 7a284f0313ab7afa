import { ProblemError, problemFrom, problemStatus, type Dialect, type JsonObject } from "../canon/index.ts";
import { framingOf } from "../gateway/framing.ts";
import type { LiveCall } from "../gateway/live.ts";
import type { Reader } from "../gateway/reader.ts";
import { openCall } from "../gateway/pipeline.ts";
import { Connection } from "../gateway/request.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { FrontRequest, FrontSocket, UpgradeHandler } from "../wire/types.ts";
import { isCallDoor, type CallDoor } from "./doors.ts";
import { identifyForSession, realtimeDoors, serveSession } from "./realtime.ts";
import { PASSTHROUGH, passthroughUpgrade } from "./passthrough.ts";
import { problemBody } from "./respond.ts";
import { queryParams } from "./router.ts";

/** Calls a client may send ahead on one connection while one is running. */
const MAX_QUEUED = 16;
/** Bytes on their way to the client beyond which the upstream is paused. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** Characters of messages that may wait: the largest single message is bounded by the front end. */
const MAX_QUEUED_CHARACTERS = 32 * 1024 * 1024;
/** Source: RFC 6455, section 7.4.1. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
/** How often a full socket is looked at again. */
const DRAIN_POLL_MS = 20;

/** Accepts WebSockets on the doors that offer them. The caller is known before the upgrade is accepted. */
export function upgradeHandler(deps: GatewayDeps): UpgradeHandler {
  const doors = [...deps.dialects.values()].flatMap((dialect) =>
    dialect.doors
      .filter((door) => door.webSocket && dialect.socket)
      .filter(isCallDoor)
      .map((door) => ({ dialect, door })),
  );
  const sessions = realtimeDoors(deps);
  return (request, answer) => {
    if (request.path.startsWith(PASSTHROUGH)) {
      const { status, headers, body } = passthroughUpgrade();
      return answer.refuse(status, headers, body);
    }
    // Some clients join a base URL that ends in a slash with a path that begins with one.
    const session = sessions.get(request.path.replace(/^\/+/, "/"));
    if (session) {
      const accept = (): void => answer.accept((socket) => serveSession(deps, session, request, socket));
      return void identifyForSession(deps, session, request).then(accept, (error: unknown) => refuse(answer, error));
    }
    const found = doors.find(({ door }) => door.path === request.path);
    if (!found)
      return answer.refuse(
        404,
        { "content-type": "application/json" },
        JSON.stringify({ error: { type: "not_found", message: "No WebSocket is served here." } }),
      );
    const identified = async (): Promise<unknown> => deps.admission.identify(deps.snapshot(), found.dialect, request.headers, request.peer);
    identified().then(
      () => answer.accept((socket) => new Session(deps, found.dialect, found.door, request, socket)),
      (error: unknown) => refuse(answer, error),
    );
  };
}

function refuse(answer: Parameters<UpgradeHandler>[1], error: unknown): void {
  const problem = problemFrom(error);
  answer.refuse(
    problemStatus(problem),
    { "content-type": "application/json", "x-gimbal-problem": problem.kind },
    JSON.stringify({ error: problemBody(problem) }),
  );
}

/** One client's WebSocket: its calls run one after another, each through the same pipeline as any other. */
class Session {
  readonly #deps: GatewayDeps;
  readonly #dialect: Dialect;
  readonly #door: CallDoor;
  readonly #request: FrontRequest;
  readonly #socket: FrontSocket;
  readonly #connection = new Connection();
  readonly #queue: { readonly body: JsonObject; readonly characters: number }[] = [];
  #queuedCharacters = 0;
  /** The gateway is shutting down: what came is answered, nothing more is taken. */
  #leaving = false;
  #running: { live: LiveCall; reader: Reader } | undefined;

  constructor(deps: GatewayDeps, dialect: Dialect, door: CallDoor, request: FrontRequest, socket: FrontSocket) {
    this.#deps = deps;
    this.#dialect = dialect;
    this.#door = door;
    this.#request = request;
    this.#socket = socket;
    socket.onMessage((text) => this.#message(text));
    socket.onClose(() => this.#closed());
    socket.onGoodbye(() => {
      this.#leaving = true;
      this.#next();
    });
  }

  #message(text: string): void {
    try {
      const message = this.#dialect.socket?.read(text) ?? { type: "ignore" };
      if (message.type === "cancel") return this.#cancel(message.id);
      if (message.type === "ignore") return;
      if (this.#leaving) throw new ProblemError({ kind: "overloaded", message: "The gateway is shutting down." });
      if (this.#queue.length >= MAX_QUEUED || (this.#queue.length > 0 && this.#queuedCharacters + text.length > MAX_QUEUED_CHARACTERS)) {
        throw new ProblemError({
          kind: "rate_limited",
          message: `More than ${MAX_QUEUED} calls, or ${MAX_QUEUED_CHARACTERS} characters of them, wait on this connection.`,
        });
      }
      this.#queue.push({ body: message.body, characters: text.length });
      this.#queuedCharacters += text.length;
      this.#next();
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error: unknown): void {
    // Refusals are not paused like answers: a client that sends nonsense and reads nothing would fill the memory with them.
    if (this.#socket.buffered > MAX_BUFFERED_BYTES)
      return this.#socket.close(POLICY_VIOLATION, "messages are refused and the refusals not read");
    const id = this.#deps.randomness.id("req_");
    const problem = problemFrom(error);
    if (problem.kind === "internal") this.#deps.report(error, id);
    this.#socket.send(this.#dialect.socket?.problem(problem, id) ?? "");
  }

  #next(): void {
    if (this.#running) return;
    const waiting = this.#queue.shift();
    if (!waiting) {
      if (this.#leaving) this.#socket.close(GOING_AWAY, "the gateway is shutting down");
      return;
    }
    const { body, characters } = waiting;
    this.#queuedCharacters -= characters;
    const reader = this.#reader();
    const live = openCall(
      this.#deps,
      {
        dialect: this.#dialect,
        door: this.#door,
        headers: this.#request.headers,
        params: queryParams(this.#request.query),
        peer: this.#request.peer,
        connection: this.#connection,
        readBody: () => Promise.resolve(Buffer.from(JSON.stringify({ ...body, stream: true }))),
      },
      reader,
    );
    this.#running = { live, reader };
    void this.#afterwards(live);
  }

  async #afterwards(live: LiveCall): Promise<void> {
    await live.whenSettled();
    this.#running = undefined;
    this.#next();
  }

  #cancel(id: string | undefined): void {
    const live = this.#running?.live;
    if (live && (id === undefined || live.answerId === id))
      live.stop({ kind: "cancelled", message: "The call was cancelled by its caller." });
  }

  #closed(): void {
    this.#queue.length = 0;
    this.#queuedCharacters = 0;
    if (this.#running) this.#running.live.detach(this.#running.reader);
  }

  /** Frames lose their clothing: one JSON text a message. */
  #reader(): Reader {
    const { parse } = framingOf(this.#dialect);
    const reader: Reader = {
      whole: (_status, _headers, body) => this.#socket.send(body.toString()),
      head: () => {},
      end: () => {},
      frames: (frames) => {
        for (const frame of frames) {
          const data = parse(frame)?.data;
          if (data !== undefined) this.#socket.send(data);
        }
        if (this.#socket.buffered <= MAX_BUFFERED_BYTES) return true;
        this.#awaitDrain(reader);
        return false;
      },
    };
    return reader;
  }

  #awaitDrain(reader: Reader): void {
    this.#deps.clock.after(DRAIN_POLL_MS, () => {
      if (this.#socket.buffered > MAX_BUFFERED_BYTES) return this.#awaitDrain(reader);
      this.#running?.live.drained(reader);
    });
  }
}
