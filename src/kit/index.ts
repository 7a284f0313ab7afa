export * from "./json.ts";
export * from "./sse.ts";
export * from "./frame-feed.ts";
export * from "./clock.ts";
export * from "./ids.ts";
export * from "./nearest.ts";
export * from "./bag.ts";
export * from "./retry-after.ts";
