export { Answers, idOf, type AnswersDeps, type KeptAnswer } from "./answers.ts";
export { Flight, Flights, type Passenger } from "./flights.ts";
export { taskKey, taskWireKey } from "./task-key.ts";
export { cacheKey, tenantOf, wireKey, type KeyFacts } from "./key.ts";
export { Recording, takeOf, trackOf, type Source, type Take, type Track } from "./recording.ts";
export { DEFAULT_CACHE_LIMITS } from "./options.ts";
