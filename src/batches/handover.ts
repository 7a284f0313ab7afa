import type { BatchService, HandedPart, LineOrder, Snapshot } from "../canon/index.ts";
import type { Allowance } from "../gateway/allowance.ts";
import type { Draft } from "../gateway/handed.ts";
import type { GatewayDeps } from "../gateway/run.ts";

/** Bytes of lines held in memory until they are sent, of all parts together: more is several batches at the service. */
const HELD_BYTES = 32 * 1024 * 1024;
const NEWLINE = "\n";
/** Ids at services may have 64 characters; a mark is 24 of them. */
const MARK = "gb";

interface Group {
  readonly draft: Draft;
  readonly service: BatchService;
  readonly group: string;
  readonly mark: string;
  readonly lines: number[];
  readonly content: Buffer[];
  readonly allowances: Map<number, Allowance>;
  bytes: number;
}

/** A part that is ready to be sent. */
export interface ReadyPart {
  readonly part: HandedPart;
  readonly content: Buffer;
  readonly allowances: Map<number, Allowance>;
}

export interface HandOverDeps {
  readonly gateway: GatewayDeps;
  /** Resolves when the part is recorded; `sent`, when its content is not held any more. */
  readonly send: (ready: ReadyPart) => Promise<{ readonly sent: Promise<void> }>;
}

/** Gathers drafted lines into batches of their providers' services: each of one model, one key and one kind of call. */
export class HandOver {
  readonly #deps: HandOverDeps;
  readonly #groups = new Map<string, Group>();
  readonly #onTheirWay = new Set<Promise<void>>();
  /** Gathered, and on their way. */
  #bytes = 0;

  constructor(deps: HandOverDeps) {
    this.#deps = deps;
  }

  /** False: the service does not take such a call, and the line is to be asked here. */
  async add(line: number, draft: Draft): Promise<boolean> {
    const { provider, call, target, allowance } = draft;
    const service = provider.batches;
    const kind = service?.groupOf(call);
    if (!service || kind === undefined) return false;
    const key = JSON.stringify([provider.id, target.model, call.dialect, kind]);
    let group = this.#groups.get(key) ?? this.#newGroup(draft, service, kind);
    const text = Buffer.from(`${service.line(`${group.mark}-${line}`, call)}${NEWLINE}`);
    if (text.length > service.mostBytes) return false;
    if (group.lines.length >= service.mostLines || group.bytes + text.length > service.mostBytes) {
      await this.#send(key, group);
      group = this.#newGroup(draft, service, kind);
      return this.#put(key, group, line, Buffer.from(`${service.line(`${group.mark}-${line}`, call)}${NEWLINE}`), allowance);
    }
    return this.#put(key, group, line, text, allowance);
  }

  /** Sends whatever is gathered. Resolves when it is recorded; a service that is slow to take it keeps nobody else waiting. */
  async flush(): Promise<void> {
    for (const [key, group] of this.#groups) await this.#send(key, group);
  }

  /** What is gathered and was not sent. */
  *lines(): Generator<number> {
    for (const { lines } of this.#groups.values()) yield* lines;
  }

  /** Nothing of it will be sent. */
  drop(): void {
    for (const { allowances } of this.#groups.values()) for (const { budgets } of allowances.values()) budgets?.release();
    this.#groups.clear();
  }

  async #put(key: string, group: Group, line: number, text: Buffer, allowance: Allowance | undefined): Promise<true> {
    this.#groups.set(key, group);
    group.lines.push(line);
    group.content.push(text);
    group.bytes += text.length;
    if (allowance) group.allowances.set(line, allowance);
    this.#bytes += text.length;
    if (this.#bytes > HELD_BYTES) {
      await this.flush();
      await Promise.all(this.#onTheirWay);
    }
    return true;
  }

  #newGroup(draft: Draft, service: BatchService, group: string): Group {
    const mark = this.#deps.gateway.randomness.id(MARK);
    return { draft, service, group, mark, lines: [], content: [], allowances: new Map(), bytes: 0 };
  }

  async #send(key: string, { draft, group, mark, lines, content, allowances, bytes }: Group): Promise<void> {
    const { provider, target, call } = draft;
    this.#groups.delete(key);
    const credential = this.#credential(draft);
    const part: HandedPart = {
      mark,
      provider: provider.id,
      model: target.model,
      dialect: call.dialect,
      group,
      ...(credential !== undefined && { credential }),
      lines: stretches(lines),
      state: "sending",
      sentAt: this.#deps.gateway.clock.now(),
    };
    const { sent } = await this.#deps.send({ part, content: Buffer.concat(content), allowances });
    const onItsWay = sent.finally(() => {
      this.#bytes -= bytes;
      this.#onTheirWay.delete(onItsWay);
    });
    this.#onTheirWay.add(onItsWay);
  }

  /** A key that is well, as for any attempt. What is asked later of this batch is asked with the same. */
  #credential({ provider, target }: Draft): string | undefined {
    const { health } = this.#deps.gateway;
    const entered = health.enter(target, 0, 0);
    if (entered.state === "waiting") {
      entered.cancel();
      return provider.credentials?.[0]?.id;
    }
    if (entered.state === "refused") return provider.credentials?.[0]?.id;
    entered.leave({ kind: "cancelled", message: "Only the key was asked for." }, undefined);
    return entered.credential;
  }
}

/** Could any of a model's calls go to a batch service? Whoever is not sure is drafted. */
export function mayBeHandedOver({ aliases, providers }: Snapshot, { body }: LineOrder): boolean {
  const { model } = body;
  if (typeof model !== "string") return false;
  const alias = aliases.get(model);
  const has = (name: string): boolean => providers.get(name)?.batches !== undefined;
  if (!alias) return has(model.slice(0, Math.max(0, model.indexOf("/"))));
  return [...alias.targets, ...(alias.rules ?? []).flatMap(({ targets }) => targets), ...(alias.canary?.targets ?? [])].some(
    ({ provider }) => has(provider),
  );
}

/** Rising numbers as stretches of such that follow each other. */
export function stretches(lines: readonly number[]): readonly (readonly [number, number])[] {
  const found: [number, number][] = [];
  for (const line of lines) {
    const last = found.at(-1);
    if (last && last[1] === line - 1) last[1] = line;
    else found.push([line, line]);
  }
  return found;
}
