import { systemClock } from "../../src/kit/index.ts";
import { ipcChannel, workerStores } from "../../src/stores/index.ts";
import { keptTurn, keyRecord, ledgerRow, openRecord } from "./rows.ts";

/** A worker process: settles rows, keeps a turn, makes a key, says what it sees, and stays until it is killed or told to leave. */
const [name = ""] = process.argv.slice(2);
const stores = await workerStores(ipcChannel(process), systemClock);
await Promise.all(
  Array.from({ length: 500 }, (_, number) => {
    const id = `${name}-${number}`;
    stores.ledger.open(openRecord(id, { node: name }));
    return stores.ledger.settle(ledgerRow(id));
  }),
);
await stores.calls.keepTurn(keptTurn(`resp-${name}`));
const before = await stores.keys.generation();
await stores.keys.create(keyRecord(name));
const after = await stores.keys.generation();
stores.ledger.open(openRecord(`${name}-left-open`, { node: name }));
await stores.ledger.flush();
process.on("message", (message) => {
  if (message !== "leave") return;
  void stores.close().then(() => process.disconnect?.());
});
process.send?.({
  rows: await stores.ledger.count(),
  turn: (await stores.calls.readTurn("key_1", `resp-${name}`, 0))?.id,
  missing: (await stores.calls.readTurn("key_2", `resp-${name}`, 0)) === undefined,
  generationRose: after > before,
});
