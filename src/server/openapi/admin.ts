import { accountChangeOptions, denialOptions, groupChangeOptions } from "../../gateway/account-changes.ts";
import { cacheQuery, ledgerQuery } from "../admin.ts";
import { listQuery, pageQuery } from "../audit.ts";
import { budgetsBody } from "../budgets.ts";
import { abortBody, compareQuery, promoteBody } from "../canary.ts";
import { eraseQuery } from "../content.ts";
import { differencesQuery, repriceBody } from "../costs.ts";
import { exportQuery } from "../export.ts";
import { forceBody } from "../health.ts";
import { addBody, keyBody, rotateBody } from "../keys.ts";
import { killBody } from "../kill.ts";
import { adminQuery } from "../lineage.ts";
import { pinBody, unpinQuery } from "../mcp-admin.ts";
import { modelBody, rollbackBody, versionsQuery } from "../release.ts";
import { shadowQuery } from "../shadow.ts";
import { chargebackQuery, forecastQuery, rollupBody, spendQuery } from "../spend.ts";
import { flag, list, mapOf, media, moment, oneOf, ref, shape, some, text, whole, type Described } from "./shapes.ts";

const made = shape({ id: text, key: text, prefix: text }, { account: text, expiresAt: moment });
const version = ref("ConfigVersion");
/** Absent on the last page. */
const page = { next: whole };

/** Routes under `/admin/api`, by their names in the table of roles. What they take is checked by the very schemas named here. */
export const ADMIN_ROUTES: Readonly<Record<string, Described>> = {
  "GET /accounts": {
    summary: "Whoever calls, each with its keys.",
    answer: shape({ accounts: list(shape({ id: text, name: text, keys: list(some) })) }),
  },
  "PATCH /accounts/:id": {
    summary: "Changes what every key of an account may do.",
    body: accountChangeOptions,
    answer: shape({ id: text, name: text }),
  },
  "POST /accounts/:id/keys": { summary: "One more key for an account.", body: addBody, answer: made, status: 201 },
  "GET /alerts": { summary: "What an operator should look at.", answer: shape({ alerts: list(some) }) },
  "GET /audit": { summary: "The newest entries of the audit.", query: listQuery, answer: shape({ entries: list(some) }) },
  "POST /audit/checkpoint": { summary: "Signs the audit as far as it goes.", answer: shape({ size: whole, at: moment, note: text }) },
  "GET /audit/checkpoints": { summary: "Signed checkpoints, oldest first.", query: pageQuery, answer: shape({ checkpoints: list(some) }) },
  "GET /audit/entries": {
    summary: "Entries of the audit as they are chained, oldest first.",
    query: pageQuery,
    answer: shape({ entries: list(some) }),
  },
  "GET /audit/key": { summary: "The key by which checkpoints are verified.", answer: some },
  "GET /budgets": { summary: "Budgets, with what is spent of them.", answer: shape({ budgets: list(ref("Budget")) }) },
  "PUT /budgets": { summary: "Replaces the configuration's budgets, as its new version.", body: budgetsBody, answer: version },
  "DELETE /cache": { summary: "Forgets kept answers.", query: cacheQuery, answer: shape({ forgotten: whole }) },
  "GET /content": { summary: "What content is stored, by the days on which it expires.", answer: shape({ partitions: list(some) }) },
  "DELETE /content": { summary: "Erases stored content.", query: eraseQuery, answer: some },
  "GET /content/:id": { summary: "What was stored of a call.", answer: some },
  "POST /config/rollback": { summary: "Puts an earlier version of the configuration in force.", body: rollbackBody, answer: version },
  "GET /config/versions": {
    summary: "Versions of the configuration, newest first.",
    query: versionsQuery,
    answer: shape({ inForce: whole, versions: list(version) }),
  },
  "GET /config/versions/:version": { summary: "One version, with its text and what it changed.", answer: version },
  "POST /data-key/rotate": { summary: "Seals everything at rest under a new key.", answer: some },
  "GET /denials": { summary: "Whom issuers vouch for and who is not let in all the same.", answer: shape({ denials: list(some) }) },
  "POST /denials": { summary: "Lets somebody in no more.", body: denialOptions, answer: shape({ id: text, issuer: text }), status: 201 },
  "DELETE /denials/:id": { summary: "Lets them in again.", answer: shape({ id: text, lifted: flag }) },
  "GET /health/targets": { summary: "How targets and keys are.", answer: shape({ targets: list(some), providers: list(some) }) },
  "POST /health/targets": {
    summary: "A person's word on a target or a provider.",
    body: forceBody,
    answer: shape({ force: oneOf("open", "shut", "auto") }, { target: text, provider: text }),
  },
  "GET /keys": {
    summary: "Keys, without what opens anything.",
    answer: shape({ keys: list(shape({ id: text, name: text, prefix: text, createdAt: moment })) }),
  },
  "POST /keys": { summary: "Makes a key, which is shown this once.", body: keyBody, answer: made, status: 201 },
  "DELETE /keys/:id": { summary: "Revokes a key.", answer: shape({ id: text, revoked: flag }) },
  "POST /keys/:id/rotate": { summary: "A new key in place of one that goes on for a while.", body: rotateBody, answer: made, status: 201 },
  "GET /kill": { summary: "Kill switches in force.", answer: shape({ kills: list(ref("Kill")) }) },
  "POST /kill": {
    summary: "Switches off a model, a provider, a key, a tag or everything.",
    body: killBody,
    answer: ref("Kill"),
    status: 201,
  },
  "DELETE /kill/:id": { summary: "Lifts a kill switch.", answer: shape({ id: text, lifted: flag }) },
  "GET /ledger": { summary: "The newest rows.", query: ledgerQuery, answer: shape({ rows: list(ref("Row")) }) },
  "GET /ledger/differences": {
    summary: "Rows whose provider said another price.",
    query: differencesQuery,
    answer: shape({ differences: list(some), compared: whole }, page),
  },
  "GET /ledger/export": {
    summary: "Rows as a file.",
    query: exportQuery,
    answer: media("text/csv", "application/x-ndjson", "application/vnd.apache.parquet"),
  },
  "GET /ledger/:id/repricings": { summary: "What a call cost by other prices.", answer: shape({ repricings: list(some) }) },
  "POST /ledger/reprice": {
    summary: "Derives costs anew, a page at a time.",
    body: repriceBody,
    answer: shape({ totals: some, run: some, priceVersion: text }, page),
  },
  "POST /ledger/rollup": { summary: "Adds up rows that wait for their sums.", body: rollupBody, answer: some },
  "GET /lineage": { summary: "Where an output comes from, or what something went into.", query: adminQuery, answer: some },
  "GET /mcp": { summary: "Servers of tools, with what they offer.", answer: shape({ servers: list(some) }) },
  "GET /mcp/:server/tools/:tool": { summary: "One tool, as its server describes it.", answer: shape({ definition: some }, { pin: some }) },
  "POST /mcp/pins": { summary: "Approves a tool as it is now.", body: pinBody, answer: some, status: 201 },
  "DELETE /mcp/pins": {
    summary: "Takes an approval back.",
    query: unpinQuery,
    answer: shape({ server: text, tool: text, approved: flag }),
  },
  "POST /mcp/:server/login": {
    summary: "Where a person must go so that a server may be used.",
    answer: shape({ server: text, url: text }),
  },
  "POST /mcp/:server/test": { summary: "Asks a server whether it answers.", answer: shape({ answeredMs: { type: "number" } }) },
  "PATCH /models/:name{.+}": { summary: "Changes a model of the configuration, as its new version.", body: modelBody, answer: version },
  "GET /models/:name{.+}/canary": {
    summary: "Compares the parts of a model's calls.",
    query: compareQuery,
    answer: shape({ model: text, since: moment, complete: flag, arms: mapOf(some) }),
  },
  "POST /models/:name{.+}/canary/abort": { summary: "Ends a canary.", body: abortBody, answer: version },
  "POST /models/:name{.+}/canary/promote": { summary: "Makes a canary's targets the model's.", body: promoteBody, answer: version },
  "GET /projects": { summary: "Projects, with what holds for them.", answer: shape({ projects: list(ref("Group")) }) },
  "PATCH /projects/:name{.+}": {
    summary: "Bounds what a project's accounts may do.",
    body: groupChangeOptions,
    answer: shape({ name: text }),
  },
  "GET /session": { summary: "Who asks, and what they may do.", answer: shape({ actor: text, roles: list(text), by: text }) },
  "GET /shadow": {
    summary: "How the answers of copied calls compare.",
    query: shadowQuery,
    answer: shape({ model: text, complete: flag, calls: list(some) }),
  },
  "GET /spend": { summary: "What calls cost, used and took.", query: spendQuery, answer: shape({ by: list(text), lines: list(some) }) },
  "GET /spend/chargeback": { summary: "What each team or project owes.", query: chargebackQuery, answer: some },
  "GET /spend/forecast": { summary: "What the coming days will cost.", query: forecastQuery, answer: some },
  "GET /teams": { summary: "Teams, with what holds for them.", answer: shape({ teams: list(ref("Group")) }) },
  "PATCH /teams/:name{.+}": { summary: "Bounds what a team's accounts may do.", body: groupChangeOptions, answer: shape({ name: text }) },
};
