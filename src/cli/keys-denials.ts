import type { Denial } from "../canon/index.ts";
import { denialOptions, newDenial } from "../gateway/account-changes.ts";
import { CommandError, DONE, table, UsageError, type Command } from "./command.ts";
import { momentOf, orSay } from "./keys-flags.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

const deny: Command = {
  name: "keys deny",
  summary: "Let somebody in no more, although their issuer vouches for them: within a second, everywhere.",
  operands: ["ISSUER"],
  flags: {
    subject: { value: "SUB", meaning: "A person or a service: all their tokens and sessions." },
    token: { value: "JTI", meaning: "One token." },
    session: { value: "ID", meaning: "One session of the admin API, by its id in the audit." },
    reason: { value: "TEXT", meaning: "Why, for whoever reads the list." },
    expires: { value: "WHEN", meaning: "When it ends: a date, a time, or a span (12h, 30d, 8w). Default: never." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const [issuer = ""] = input.operands;
    const expires = input.text("expires");
    const body = {
      issuer,
      ...Object.fromEntries(
        ["subject", "token", "session", "reason"].flatMap((flag) => (input.text(flag) === undefined ? [] : [[flag, input.text(flag)]])),
      ),
      ...(expires !== undefined && { expiresAt: momentOf(expires, deps.clock.now()) }),
    };
    const parsed = denialOptions.safeParse(body);
    if (!parsed.success) throw new UsageError("gimbal keys deny needs one of --subject, --token and --session.");
    const { id } = await onRecord(input, deps, {
      server: async (server, folder) => (await askServer(server, folder, deps, "POST", "/denials", body)) as Denial,
      stores: async ({ keys }) => {
        const entry = newDenial(parsed.data, "cli", deps.clock, deps.randomness);
        await orSay(keys.deny(entry));
        return entry;
      },
    });
    deps.out(input.json ? `${JSON.stringify({ id })}\n` : `Denied: ${id}. Take it back with: gimbal keys allow ${id}\n`);
    return DONE;
  },
};

const allow: Command = {
  name: "keys allow",
  summary: "Take a denial back.",
  operands: ["ID"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const [id = ""] = input.operands;
    await onRecord(input, deps, {
      server: (server, folder) => askServer(server, folder, deps, "DELETE", `/denials/${encodeURIComponent(id)}`),
      stores: async ({ keys }) => {
        if (!(await keys.allow(id))) throw new CommandError(`There is no denial "${id}" that could be lifted.`);
      },
    });
    deps.out(input.json ? `${JSON.stringify({ id, lifted: true })}\n` : `The denial ${id} is lifted.\n`);
    return DONE;
  },
};

export const DENIAL_COMMANDS: readonly Command[] = [deny, allow];

export function denialTable(denials: readonly Denial[]): string {
  return table(
    ["DENIED", "ISSUER", "KIND", "VALUE", "UNTIL"],
    denials.map(({ id, issuer, kind, value, expiresAt }) => [
      id,
      issuer,
      kind,
      value,
      expiresAt === undefined ? "" : new Date(expiresAt).toISOString(),
    ]),
  );
}
