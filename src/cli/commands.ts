import { AUDIT_COMMANDS } from "./audit.ts";
import { backupCommand } from "./backup.ts";
import type { Command } from "./command.ts";
import { rotateDataKeyCommand } from "./data-key.ts";
import { doctorCommand } from "./doctor.ts";
import { explainCommand } from "./explain.ts";
import { HEALTH_COMMANDS } from "./health.ts";
import { initCommand } from "./init.ts";
import { KEY_COMMANDS } from "./keys.ts";
import { differencesCommand } from "./ledger-differences.ts";
import { repriceCommand } from "./ledger-reprice.ts";
import { ledgerCommand } from "./ledger.ts";
import { MCP_COMMANDS } from "./mcp.ts";
import { migrateCommand } from "./migrate.ts";
import { CHANGE_COMMANDS } from "./models-change.ts";
import { KILL_COMMANDS } from "./models-kill.ts";
import { PULL_COMMANDS } from "./models-pull.ts";
import { RELEASE_COMMANDS } from "./models-release.ts";
import { SERVE_TEST_COMMANDS } from "./models-serve-test.ts";
import { modelsCommand } from "./models.ts";
import { NOT_BUILT_COMMANDS } from "./not-built.ts";
import { rehearseCommand } from "./rehearse.ts";
import { restoreCommand } from "./restore.ts";
import { serveCommand } from "./serve.ts";
import { SPEND_COMMANDS } from "./spend.ts";

/** Every command, in the order in which the help lists them. */
export const COMMANDS: readonly Command[] = [
  serveCommand,
  initCommand,
  doctorCommand,
  ...KEY_COMMANDS,
  rotateDataKeyCommand,
  // Before the one whose name begins theirs.
  ...CHANGE_COMMANDS,
  ...RELEASE_COMMANDS,
  ...KILL_COMMANDS,
  ...PULL_COMMANDS,
  ...SERVE_TEST_COMMANDS,
  modelsCommand,
  ...HEALTH_COMMANDS,
  ...MCP_COMMANDS,
  // Before the one whose name begins theirs.
  repriceCommand,
  differencesCommand,
  ...SPEND_COMMANDS,
  ledgerCommand,
  explainCommand,
  rehearseCommand,
  ...AUDIT_COMMANDS,
  backupCommand,
  restoreCommand,
  migrateCommand,
  ...NOT_BUILT_COMMANDS,
];
