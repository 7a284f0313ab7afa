import { afterAll, beforeAll, describe } from "vitest";
import type { Stores } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { openPostgres } from "../../src/stores/index.ts";
import { accessContract } from "../contracts/access.contract.ts";
import { pinContract } from "../contracts/pins.contract.ts";
import { auditContract } from "../contracts/audit.contract.ts";
import { contentContract } from "../contracts/content.contract.ts";
import { lineageContract } from "../contracts/lineage.contract.ts";
import { budgetContract } from "../contracts/budgets.contract.ts";
import { cacheContract } from "../contracts/cache.contract.ts";
import { journalContract } from "../contracts/journal.contract.ts";
import { reportsContract } from "../contracts/reports.contract.ts";
import { repricingContract } from "../contracts/repricing.contract.ts";
import { storeContract } from "../contracts/stores.contract.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { temporaryFolder } from "./folders.ts";
import { START } from "./rows.ts";

describe.skipIf(!hasPostgres)("PostgreSQL", () => {
  let server: TestPostgres;
  beforeAll(async () => void (server = await startPostgres()));
  afterAll(() => server?.stop());
  const clock = new ManualClock(START);
  const open = (): Promise<Stores> => openPostgres({ url: server.url(), folder: temporaryFolder(), node: "node-a", clock, env: {} });

  storeContract("postgres", open);
  accessContract("postgres", open);
  pinContract("postgres", open);
  journalContract("postgres", open);
  cacheContract("postgres", open);
  auditContract("postgres", open);
  lineageContract("postgres", open);
  contentContract("postgres", open);
  budgetContract("postgres", open);
  repricingContract("postgres", open);
  reportsContract("postgres", open);
});
