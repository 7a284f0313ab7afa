export { Coverage, partsOfKey, type Cover, type Measure } from "./covers.ts";
export { subjectsOf, type Subject } from "./match.ts";
export { Hold, isSoft, reserve, type Amounts, type Refusal } from "./reserve.ts";
export { refusalProblem, softWords } from "./words.ts";
export { Walls, type WallsOptions } from "./walls.ts";
export { isTimeZone, NEVER, windowOf } from "./window.ts";
