import { systemClock } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { ledgerRow, openRecord } from "./rows.ts";

/** Settles rows until it is killed, and says the id of every row it was told is durable. Arguments: folder, prefix of the ids. */
const [folder = "", prefix = ""] = process.argv.slice(2);
const stores = await openSqlite({ folder, node: "node-a", clock: systemClock });
process.stdout.write("started\n");
stores.ledger.open(openRecord(`${prefix}-never-settled`));
await stores.ledger.flush();
for (let number = 0; ; number++) {
  const ids = Array.from({ length: 7 }, (_, place) => `${prefix}-${number}-${place}`);
  await Promise.all(
    ids.map(async (id) => {
      stores.ledger.open(openRecord(id));
      await stores.ledger.settle(ledgerRow(id));
    }),
  );
  process.stdout.write(`${ids.join("\n")}\n`);
}
