import { WebSocket } from "ws";

export interface Talk {
  readonly socket: WebSocket;
  readonly events: { readonly type: string; readonly [member: string]: unknown }[];
  /** The code with which it was closed. */
  readonly closed: Promise<number>;
  /** The words beside that code. */
  readonly reason: () => string;
  send(event: object | string): void;
  /** The first event of this type that was not asked for yet, and everything before it forgotten. */
  until(type: string): Promise<Record<string, unknown>>;
  close(): void;
}

/** A realtime session over a socket without any client's manners. */
export async function talk(url: string, key?: string, protocols: readonly string[] = []): Promise<Talk> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const socket = new WebSocket(url.replace("http", "ws"), [...protocols], { headers });
  const events: Talk["events"] = [];
  let wake = (): void => {};
  let reason = "";
  socket.on("message", (data: Buffer) => {
    events.push(JSON.parse(data.toString()) as Talk["events"][number]);
    wake();
  });
  const closed = new Promise<number>((resolve) =>
    socket.on("close", (code, why) => {
      reason = why.toString();
      resolve(code);
    }),
  );
  void closed.then(() => wake());
  await new Promise<void>((resolve, reject) => {
    socket.on("open", resolve);
    socket.on("error", reject);
  });
  return {
    socket,
    events,
    closed,
    reason: () => reason,
    send: (event) => socket.send(typeof event === "string" ? event : JSON.stringify(event)),
    until: async (type) => {
      for (;;) {
        const found = events.findIndex((event) => event.type === type);
        if (found >= 0) return events.splice(0, found + 1).at(-1) ?? {};
        if (socket.readyState === WebSocket.CLOSED) throw new Error(`closed before ${type}`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    close: () => socket.close(),
  };
}

export const say = (words: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text: words }] },
});
export const ANSWER = { type: "response.create" };
