import { systemClock } from "../../src/kit/index.ts";
import { openPostgres } from "../../src/stores/index.ts";
import { openRecord } from "./rows.ts";

/** A gateway that begins two calls, says so, and waits to be killed. Arguments: address, folder, name, shared key. */
const [url = "", folder = "", node = "", key = ""] = process.argv.slice(2);
const stores = await openPostgres({ url, folder, node, clock: systemClock, env: { GIMBAL_DATA_KEY: key }, leaseMs: 400 });
stores.ledger.open(openRecord("call_left", { node }));
stores.ledger.open(openRecord("call_of_worker", { node: `${node}.2` }));
await stores.ledger.flush();
process.stdout.write("open\n");
setInterval(() => {}, 1000);
