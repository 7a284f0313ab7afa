import type { Problem } from "../../canon/index.ts";
import { isKeysFault, isOverload } from "../retry.ts";

/**
 * What the end of an attempt says of those who took part:
 * `well`: the target works, also when it refused this call; `failed`: it does not; `overloaded`: it fails for being too busy;
 * `limited`: a rate limit, of the key where there are several; `credentials`: the key was refused; `nothing`: our own doing.
 */
export type Blame = "well" | "failed" | "overloaded" | "limited" | "credentials" | "nothing";

export function blameOf(problem: Problem | undefined): Blame {
  if (problem === undefined) return "well";
  if (problem.fault === "credentials") return isKeysFault(problem) ? "credentials" : "well";
  switch (problem.kind) {
    case "upstream_unavailable":
      return isOverload(problem) ? "overloaded" : "failed";
    case "upstream_timeout":
    case "upstream_broken":
      return "failed";
    case "rate_limited":
      return problem.upstream === undefined ? "nothing" : "limited";
    case "upstream_rejected":
      return problem.upstream === undefined ? "nothing" : "well";
    default:
      return "nothing";
  }
}
