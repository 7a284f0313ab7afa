import { ManualClock } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { ledgerRow } from "./rows.ts";

/** Settles rows until writing fails, says the ids of those that are durable and at last why it failed. Argument: folder. */
const [folder = ""] = process.argv.slice(2);
const failed = Promise.withResolvers<string>();
const stores = await openSqlite({
  folder,
  node: "n",
  clock: new ManualClock(),
  onFailure: (reason) => {
    if (reason !== undefined) failed.resolve(reason);
  },
});
let why: string | undefined;
for (let number = 0; why === undefined; number++) {
  const id = `call_${number}`;
  const settled = stores.ledger
    .settle(ledgerRow(id, { metadata: { padding: "x".repeat(1000) } }))
    .then(() => void process.stdout.write(`${id}\n`));
  settled.catch(() => {});
  why = (await Promise.race([settled, failed.promise])) ?? undefined;
}
process.stdout.write(`failed: ${why}\n`);
await stores.close();
