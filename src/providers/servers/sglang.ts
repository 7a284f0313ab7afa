import { meteredServer } from "./metered.ts";
import type { ServerKind } from "./types.ts";

/** Source: SGLang documentation, "Production Metrics"; they are there when the server was started with `--enable-metrics`. */
export const sglangServer: ServerKind = (parts) =>
  meteredServer(parts, {
    running: "sglang:num_running_reqs",
    waiting: "sglang:num_queue_reqs",
    cacheShare: ["sglang:token_usage"],
    requestSeconds: ["sglang:e2e_request_latency_seconds"],
  });
