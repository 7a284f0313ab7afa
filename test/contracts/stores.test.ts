import type { Stores } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { type Channel, memoryStores, openSqlite, primaryHost, workerStores } from "../../src/stores/index.ts";
import { temporaryFolder } from "../stores/folders.ts";
import { START } from "../stores/rows.ts";
import { accessContract } from "./access.contract.ts";
import { auditContract } from "./audit.contract.ts";
import { budgetContract } from "./budgets.contract.ts";
import { cacheContract } from "./cache.contract.ts";
import { journalContract } from "./journal.contract.ts";
import { reportsContract } from "./reports.contract.ts";
import { repricingContract } from "./repricing.contract.ts";
import { contentContract } from "./content.contract.ts";
import { lineageContract } from "./lineage.contract.ts";
import { pinContract } from "./pins.contract.ts";
import { fileContract } from "./files.contract.ts";
import { storeContract } from "./stores.contract.ts";

const clock = new ManualClock(START);
const openFolder = (): ReturnType<typeof openSqlite> => openSqlite({ folder: temporaryFolder(), node: "node-a", clock });

storeContract("memory", async () => memoryStores(clock));
storeContract("sqlite", openFolder);

/** Two ends of a channel in one process; messages are cloned, as between processes. */
function channelPair(): [Channel, Channel] {
  const listeners: ((message: unknown) => void)[][] = [[], []];
  const end = (own: 0 | 1, other: 0 | 1): Channel => ({
    send: (message) => {
      const copy: unknown = structuredClone(message);
      setImmediate(() => listeners[other]?.forEach((listener) => listener(copy)));
    },
    onMessage: (listener) => void listeners[own]?.push(listener),
    onClose: () => {},
  });
  return [end(0, 1), end(1, 0)];
}

const openRemote = async (): Promise<Stores> => {
  const stores = await openFolder();
  const [near, far] = channelPair();
  primaryHost(stores).attach(near);
  const remote = await workerStores(far, clock);
  return {
    ...remote,
    close: async () => {
      await remote.close();
      await stores.close();
    },
  };
};
storeContract("sqlite by way of another process", openRemote);

accessContract("memory", async () => memoryStores(clock));
accessContract("sqlite", openFolder);
accessContract("sqlite by way of another process", openRemote);

pinContract("memory", async () => memoryStores(clock));
pinContract("sqlite", openFolder);
pinContract("sqlite by way of another process", openRemote);

fileContract("memory", async () => memoryStores(clock));
fileContract("sqlite", openFolder);
fileContract("sqlite by way of another process", openRemote);

journalContract("memory", async () => memoryStores(clock));
journalContract("sqlite", openFolder);
journalContract("sqlite by way of another process", openRemote);

cacheContract("memory", async () => memoryStores(clock));
cacheContract("sqlite", openFolder);
cacheContract("sqlite by way of another process", openRemote);

auditContract("memory", async () => memoryStores(clock));
auditContract("sqlite", openFolder);
auditContract("sqlite by way of another process", openRemote);

repricingContract("memory", async () => memoryStores(clock));
reportsContract("memory", async () => memoryStores(clock));
repricingContract("sqlite", openFolder);
reportsContract("sqlite", openFolder);
repricingContract("sqlite by way of another process", openRemote);
reportsContract("sqlite by way of another process", openRemote);

budgetContract("memory", async () => memoryStores(clock));
budgetContract("sqlite", openFolder);
budgetContract("sqlite by way of another process", openRemote);

lineageContract("memory", async () => memoryStores(clock));
lineageContract("sqlite", openFolder);
lineageContract("sqlite by way of another process", openRemote);

contentContract("memory", async () => memoryStores(clock));
contentContract("sqlite", openFolder);
contentContract("sqlite by way of another process", openRemote);
