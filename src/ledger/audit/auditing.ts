import type {
  AuditEvent,
  ConfigStore,
  ConfigVersion,
  Denial,
  JsonObject,
  KeyRecord,
  KeyStore,
  Stores,
  Switch,
  ToolPin,
} from "../../canon/index.ts";
import { hashOf, type Audit } from "./audit.ts";

export interface AuditingOptions {
  readonly audit: Audit;
  /** What changed between two versions of the configuration, as text. */
  readonly diff: (before: ConfigVersion | undefined, after: ConfigVersion) => string;
}

/** The same stores, whose every change of keys, configuration, switches and kept answers carries its note: nobody can forget it. */
export function auditing(stores: Stores, { audit, diff }: AuditingOptions): Stores {
  const { keys, config, switches, toolPins, cache, dataKeys, content } = stores;
  return {
    ...stores,
    keys: auditingKeys(keys, audit),
    config: auditingConfig(config, audit, diff),
    switches: {
      ...switches,
      put: (entry, note) =>
        switches.put(
          entry,
          note ?? audit.draft({ action: `switch.${entry.kind}`, subject: `${entry.scope}:${entry.value}`, details: aboutSwitch(entry) }),
        ),
      remove: (id, note) => switches.remove(id, note ?? audit.draft({ action: "switch.lift", subject: `switch:${id}` })),
    },
    toolPins: {
      ...toolPins,
      pin: (pin, first, note) => toolPins.pin(pin, first, note ?? audit.draft(aboutPin(pin))),
      unpin: (server, tool, note) =>
        toolPins.unpin(server, tool, note ?? audit.draft({ action: "tool.unpin", subject: `tool:${server}/${tool}` })),
    },
    dataKeys: {
      async rotate() {
        const done = await dataKeys.rotate();
        const { keyId, ...details } = done;
        // Behind it: it is many writes, of which each holds by itself.
        await audit.note({ action: "data-key.rotate", subject: `data-key:${keyId}`, details });
        return done;
      },
    },
    content: {
      ...content,
      // What was said is shown to nobody of whom the record does not say that they saw it.
      async read(callId, at, now) {
        await audit.note({ action: "data.access", subject: `call:${callId}`, outcome: "allowed" });
        return content.read(callId, at, now);
      },
      async erase(selection) {
        const { kind, value } = selection;
        const erased = await content.erase(selection);
        await audit.note({
          action: "data.erase",
          subject: `${kind}:${kind === "endUser" ? hashOf(value) : value}`,
          details: { calls: erased },
        });
        return erased;
      },
    },
    cache: {
      ...cache,
      forget: (selection, note) =>
        cache.forget(
          selection,
          note ??
            audit.draft({
              action: "cache.forget",
              subject: selection.kind === "all" ? "all" : `${selection.kind}:${selection.value}`,
            }),
        ),
    },
  };
}

function auditingConfig(config: ConfigStore, audit: Audit, diff: AuditingOptions["diff"]): ConfigStore {
  return {
    ...config,
    async append(entry, base, note) {
      if (note) return config.append(entry, base, note);
      const [newest] = await config.list(1);
      const action = entry.rollbackOf === undefined ? "config.change" : "config.rollback";
      const details = aboutChange(newest, { ...entry, version: (newest?.version ?? 0) + 1 }, diff);
      // Over the admin API the author is whoever signed in; a file has no other.
      const actor = entry.author === "file" ? entry.author : undefined;
      const draft = audit.draft({ action, subject: "configuration", details, ...(actor !== undefined && { actor }) });
      return config.append(entry, base, draft);
    },
  };
}

function auditingKeys(keys: KeyStore, audit: Audit): KeyStore {
  return {
    ...keys,
    create: (key, note) =>
      keys.create(key, note ?? audit.draft({ action: "key.create", subject: `key:${key.id}`, details: aboutKey(key) })),
    rotate: (id, next, at, until, note) =>
      keys.rotate(
        id,
        next,
        at,
        until,
        note ?? audit.draft({ action: "key.rotate", subject: `key:${id}`, details: { next: next.id, until, ...aboutKey(next) } }),
      ),
    revoke: (id, at, note) => keys.revoke(id, at, note ?? audit.draft({ action: "key.revoke", subject: `key:${id}` })),
    edit: (account, change, note) =>
      keys.edit(
        account,
        change,
        note ?? audit.draft({ action: "account.change", subject: `key:${account}`, details: aboutFields(change) }),
      ),
    bound: (group, name, change, note) =>
      keys.bound(
        group,
        name,
        change,
        note ?? audit.draft({ action: `${group}.change`, subject: `${group}:${name}`, details: aboutFields(change) }),
      ),
    deny: (entry, note) =>
      keys.deny(entry, note ?? audit.draft({ action: "denial.make", subject: `denial:${entry.id}`, details: aboutDenial(entry) })),
    allow: (id, note) => keys.allow(id, note ?? audit.draft({ action: "denial.lift", subject: `denial:${id}` })),
  };
}

/** Names may be people's: the record is named by its hash, the key by its first letters. */
function aboutKey({ hash: _secret, ...record }: KeyRecord): JsonObject {
  return {
    prefix: record.prefix,
    record: hashOf(record),
    ...(record.expiresAt !== undefined && { expiresAt: record.expiresAt }),
  };
}

function aboutChange(before: ConfigVersion | undefined, after: ConfigVersion, diff: AuditingOptions["diff"]): JsonObject {
  return {
    from: before?.version ?? 0,
    text: hashOf(after.text),
    diff: hashOf(diff(before, after)),
    author: after.author,
    ...(after.rollbackOf !== undefined && { rollbackOf: after.rollbackOf }),
  };
}

/** Which fields change, and the hash of what they become. */
function aboutFields(change: object): JsonObject {
  return { fields: Object.keys(change), change: hashOf(change) };
}

/** Whom it is about is somebody's name at their issuer, and perhaps a person's. */
function aboutDenial({ kind, issuer, value, reason, expiresAt }: Denial): JsonObject {
  return {
    kind,
    issuer,
    value: hashOf(value),
    ...(reason !== undefined && { reason: hashOf(reason) }),
    ...(expiresAt !== undefined && { expiresAt }),
  };
}

function aboutPin({ server, tool, hash, author }: ToolPin): AuditEvent {
  return { action: "tool.pin", subject: `tool:${server}/${tool}`, details: { hash: `sha256:${hash}`, author } };
}

function aboutSwitch({ id, reason }: Switch): JsonObject {
  return { switch: id, ...(reason !== undefined && { reason: hashOf(reason) }) };
}
