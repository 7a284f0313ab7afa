import { meteredServer } from "./metered.ts";
import type { ServerKind } from "./types.ts";

/** Source: vLLM documentation, "Production Metrics" (0.32) and "Metrics" of its design documents; the older name of the cache's is of 0.9 and before. */
export const vllmServer: ServerKind = (parts) =>
  meteredServer(parts, {
    running: "vllm:num_requests_running",
    waiting: "vllm:num_requests_waiting",
    cacheShare: ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
    // The second one holds the wait for its turn as well.
    requestSeconds: ["vllm:request_inference_time_seconds", "vllm:e2e_request_latency_seconds"],
  });
