export { limitWords, Limits, LimitHold, type LimitCover, type LimitRefusal, type LimitStandingsDraft } from "./limits.ts";
