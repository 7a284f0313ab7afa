import { frontWith } from "./raw.ts";

/** A front end in a process of its own, for limits that hold for a whole process. Prints its port. */
const front = await frontWith((_request, out) => out.whole(200, {}, "ok"), { maxConnections: 10_000 });
process.stdout.write(`${front.port}\n`);
