import { systemClock } from "../../src/kit/index.ts";
import { ipcChannel, openSqlite, workerStores } from "../../src/stores/index.ts";
import { keyRecord } from "./rows.ts";

/**
 * Makes keys with their notes, and says of each that is durable. Arguments: prefix of the ids; then a folder, to write there until it is
 * killed, or a number of keys, to make them over the channel to the process that has the record.
 */
const [prefix = "", place = ""] = process.argv.slice(2);
const count = /^\d+$/.test(place) ? Number(place) : Number.POSITIVE_INFINITY;
const stores = Number.isFinite(count)
  ? await workerStores(ipcChannel(process), systemClock)
  : await openSqlite({ folder: place, node: "node-a", clock: systemClock });
const make = async (id: string): Promise<void> => {
  const at = systemClock.now();
  await stores.keys.create(keyRecord(id), {
    id: `note-${id}`,
    at,
    actor: prefix,
    action: "key.create",
    subject: `key:${id}`,
    outcome: "done",
  });
  process.stdout.write(`${id}\n`);
};
for (let number = 0; number < count; number += 5) await Promise.all([0, 1, 2, 3, 4].map((one) => make(`${prefix}-${number + one}`)));
await stores.close();
process.disconnect?.();
