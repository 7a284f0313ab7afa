import { hash } from "node:crypto";
import type { AuditCheckpoint, AuditLink, AuditNote, AuditRecord, AuditStore, ConfigVersion, Stores, ToolPin } from "../canon/index.ts";
import { canonicalJson } from "../kit/index.ts";
import type { Backend, Command, WriteName, Writes } from "./backend.ts";

/** What the first entry names as the hash of the one before. */
export const NO_PREVIOUS = "0".repeat(64);
/** Entries and checkpoints of one answer; whoever wants more asks in pages. */
const PAGE = 1000;

export function sha256(text: string): string {
  return hash("sha256", text, "hex");
}

/** The entry behind `last`, ready to be kept. */
export function nextEntry(note: AuditNote, last: AuditLink | undefined): AuditRecord {
  const sequence = (last?.sequence ?? 0) + 1;
  const text = canonicalJson({ ...note, sequence, previous: last?.hash ?? NO_PREVIOUS });
  return { sequence, text, hash: sha256(text) };
}

/** The name of the write itself, whether or not a note goes with it. */
export function innerName(command: Command): WriteName {
  return isNoted(command) ? command.args[1].name : command.name;
}

function isNoted(command: Command): command is Command<"noted"> {
  return command.name === "noted";
}

/**
 * The note of a write that was done; undefined when it changed nothing. A version of the configuration has its number only now.
 * @param result what the write answered
 */
export function noteOf(note: AuditNote, { name, args }: Command, result: unknown): AuditNote | undefined {
  if (result === false) return undefined;
  if (name === "pinTool") {
    const [{ hash: pinned, author, createdAt: pinnedAt }] = args as Writes["pinTool"]["args"];
    const kept = result as ToolPin;
    // An earlier pin stayed.
    return kept.hash === pinned && kept.author === author && kept.createdAt === pinnedAt ? note : undefined;
  }
  if (name !== "appendConfig") return note;
  const { version, createdAt, author } = result as ConfigVersion;
  const [askedAt, asker] = args as Writes["appendConfig"]["args"];
  // The newest version has this text already, and was answered instead.
  if (createdAt !== askedAt || author !== asker) return undefined;
  return { ...note, subject: `configuration:${version}` };
}

/** A write, together with its note where there is one. */
export function writeNoted<K extends WriteName>(
  backend: Backend,
  note: AuditNote | undefined,
  name: K,
  args: Writes[K]["args"],
): Promise<Writes[K]["result"]> {
  return note ? backend.write("noted", [note, { name, args }]) : backend.write(name, args);
}

export function auditStore(backend: Backend): AuditStore {
  return {
    append: (note) => backend.write("appendAudit", [note]),
    head: () => backend.read("auditHead", []),
    read: (after, limit) => backend.read("auditEntries", [after, Math.min(limit, PAGE)]),
    keepCheckpoint: (checkpoint) => backend.write("keepCheckpoint", [checkpoint]),
    checkpoints: (after, limit) => backend.read("checkpoints", [after, Math.min(limit, PAGE)]),
    lastCheckpoint: () => backend.read("lastCheckpoint", []),
  };
}

/** For tests: the chain in memory. */
export function memoryAudit(): AuditStore {
  const entries: AuditRecord[] = [];
  const places = new Map<string, number>();
  const kept = new Map<number, AuditCheckpoint>();
  const sizes = (): AuditCheckpoint[] => [...kept.values()].toSorted((a, b) => a.size - b.size);
  const link = ({ sequence, hash: itself }: AuditRecord): AuditLink => ({ sequence, hash: itself });
  return {
    async append(note) {
      const before = entries[places.get(note.id) ?? -1];
      if (before) return link(before);
      const entry = nextEntry(note, entries.at(-1));
      places.set(note.id, entries.push(entry) - 1);
      return link(entry);
    },
    async head() {
      const last = entries.at(-1);
      return last && link(last);
    },
    read: async (after, limit) => entries.slice(after, after + Math.min(limit, PAGE)),
    async keepCheckpoint(checkpoint) {
      if (!kept.has(checkpoint.size)) kept.set(checkpoint.size, structuredClone(checkpoint));
    },
    checkpoints: async (after, limit) =>
      sizes()
        .filter(({ size }) => size > after)
        .slice(0, Math.min(limit, PAGE)),
    lastCheckpoint: async () => sizes().at(-1),
  };
}

/** Stores in memory whose changes leave their notes, as those over a backend do. */
export function noting(stores: Stores): Stores {
  const { audit, keys, config, switches, toolPins, cache } = stores;
  const leave = async <T>(change: Promise<T>, note: AuditNote | undefined, command?: Command): Promise<T> => {
    const result = await change;
    const told = note && noteOf(note, command ?? { name: "probe", args: [] }, result);
    if (told) await audit.append(told);
    return result;
  };
  return {
    ...stores,
    keys: {
      ...keys,
      create: (key, note) => leave(keys.create(key), note),
      rotate: (id, next, at, until, note) => leave(keys.rotate(id, next, at, until), note),
      revoke: (id, at, note) => leave(keys.revoke(id, at), note),
      edit: (account, change, note) => leave(keys.edit(account, change), note),
      bound: (group, name, change, note) => leave(keys.bound(group, name, change), note),
      deny: (entry, note) => leave(keys.deny(entry), note),
      allow: (id, note) => leave(keys.allow(id), note),
    },
    config: {
      ...config,
      append: (entry, base, note) => {
        const { createdAt, author, text, rollbackOf = null } = entry;
        return leave(config.append(entry, base), note, { name: "appendConfig", args: [createdAt, author, text, rollbackOf, base ?? null] });
      },
    },
    switches: {
      ...switches,
      put: (entry, note) => leave(switches.put(entry), note),
      remove: (id, note) => leave(switches.remove(id), note),
    },
    toolPins: {
      ...toolPins,
      pin: (pin, first, note) => leave(toolPins.pin(pin, first), note, { name: "pinTool", args: [pin, first] }),
      unpin: (server, tool, note) => leave(toolPins.unpin(server, tool), note),
    },
    cache: { ...cache, forget: (selection, note) => leave(cache.forget(selection), note) },
  };
}
