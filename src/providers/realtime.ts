import type { Problem, RealtimeCall, RealtimeHandle, RealtimeSink } from "../canon/index.ts";
import type { HttpClient } from "../wire/types.ts";

const UNSPOKEN: Problem = { kind: "unsupported", message: "This provider is reached by a client that opens no sockets." };
const IDLE: RealtimeHandle = { send() {}, buffered: 0, pause() {}, resume() {}, close() {} };

/** Opens a provider's socket with its key; as with calls, no redirect is followed. */
export function openSession(
  client: HttpClient,
  call: RealtimeCall,
  headers: Readonly<Record<string, string>>,
  besideVersion: true | undefined,
  sink: RealtimeSink,
): RealtimeHandle {
  if (client.socket) return client.socket({ path: call.path, besideVersion, headers, maxMessageBytes: call.maxMessageBytes }, sink);
  sink.onClose(UNSPOKEN);
  return IDLE;
}
