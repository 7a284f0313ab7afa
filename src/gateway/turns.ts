import { createHash } from "node:crypto";
import {
  amend,
  ProblemError,
  textOf,
  type Answer,
  type Call,
  type CallStore,
  type Clock,
  type Dialect,
  type Envelope,
  type Item,
  type Json,
  type KeptNative,
  type KeptTurn,
  type Limits,
  type UnknownItem,
} from "../canon/index.ts";
import { answerContext } from "./context.ts";
import { callOf, operationOf, type Run } from "./run.ts";

/** Anchors looked up for one call: beyond it only the newest turns get back what their client could not carry. */
const MAX_ANCHORS = 200;

/**
 * Turns the gateway keeps, so that a client can name an earlier answer instead of sending it again, whichever provider gave it; and
 * items that a client's language cannot carry, kept until the client sends the turn back. Both stay within their caller's scope.
 */
export class Turns {
  readonly #store: CallStore;
  readonly #clock: Clock;
  readonly #limits: () => Limits;
  /** Turns on their way to the store: the next turn may come before they are durable. */
  readonly #underway = new Map<string, KeptTurn>();
  /** The same of single items, by scope and anchor. */
  readonly #itemsUnderway = new Map<string, readonly Item[]>();
  /** Turns that a call of this process is continuing, where a language allows one at a time. */
  readonly #continuing = new Set<string>();

  constructor(deps: { readonly store: CallStore; readonly clock: Clock; readonly limits: () => Limits }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#limits = deps.limits;
  }

  /** Puts the items of the named turn and its predecessors in front of the call's own. @throws ProblemError not_found, invalid_request */
  async expand(run: Run, continuing: Call): Promise<Call> {
    const id = continuing.previousId;
    if (id === undefined) return continuing;
    let call = continuing;
    const { dialect } = run.request;
    // Counting its tokens does not use a turn up.
    const once = dialect.continuesOnce === true && operationOf(run) === "generate";
    if (once) this.#beginContinuing(run, id);
    const chain = await this.#chain(run, id);
    if (once) await this.#refuseContinued(run, id);
    if (chain.some((turn) => turn.promise)) {
      throw new ProblemError({
        kind: "conflict",
        message: `The answer "${id.slice(0, 100)}" is not complete: it is still being made, or its gateway stopped before its end.`,
        code: "turn_incomplete",
      });
    }
    const kept = chain.at(-1)?.fingerprint;
    if (kept !== undefined && dialect.continueTurn) call = dialect.continueTurn(call, kept);
    else if (kept !== undefined && dialect.turnFingerprint?.(call) !== kept) {
      throw new ProblemError({
        kind: "invalid_request",
        message: "A field that must stay the same over the turns of a thread has changed.",
        code: "turn_changed",
      });
    }
    const before = chain.flatMap((turn) => [...turn.input, ...turn.output]);
    run.previousId = id;
    return amend(call, { items: [...reunited(before), ...call.items], previousId: undefined });
  }

  /** @throws ProblemError invalid_request while another call of this process continues the same turn */
  #beginContinuing(run: Run, id: string): void {
    const key = underwayKey(run.caller?.scope ?? "", id);
    if (this.#continuing.has(key)) {
      throw new ProblemError({
        kind: "invalid_request",
        message: `Another request is still continuing from "${id.slice(0, 100)}". Wait for it and continue from its answer, or send the whole conversation.`,
        code: "turn_in_flight",
      });
    }
    this.#continuing.add(key);
    void run.live.whenSettled().then(() => this.#continuing.delete(key));
  }

  /** @throws ProblemError invalid_request when the turn was continued before, by whichever process */
  async #refuseContinued(run: Run, id: string): Promise<void> {
    const anchor = continuedAnchor(id);
    if (!(await this.#findItems(run.caller?.scope ?? "", [anchor])).has(anchor)) return;
    throw new ProblemError({
      kind: "invalid_request",
      message: `The answer "${id.slice(0, 100)}" was continued before, and each can be continued only once. Continue from the newest answer, or send the whole conversation.`,
      code: "turn_continued",
    });
  }

  /** Puts the items themselves in place of references to items of kept turns. @throws ProblemError not_found */
  async resolve(run: Run, call: Call): Promise<Call> {
    const wanted = call.items.filter(isReference).map((item) => itemAnchor(item.id));
    const scope = run.caller?.scope;
    if (wanted.length === 0 || scope === undefined) return call;
    const found = await this.#findItems(scope, [...new Set(wanted)].slice(0, MAX_ANCHORS));
    const items = call.items.flatMap((item) => {
      if (!isReference(item)) return [item];
      const kept = found.get(itemAnchor(item.id));
      if (kept) return kept;
      throw new ProblemError({
        kind: "not_found",
        message: `The item "${item.id.slice(0, 100)}" is unknown here, has expired or was not kept. Send the item itself.`,
        code: "item_not_found",
      });
    });
    return amend(call, { items });
  }

  async read(scope: string, id: string): Promise<KeptTurn | undefined> {
    return this.#underway.get(underwayKey(scope, id)) ?? this.#store.readTurn(scope, id, this.#clock.now());
  }

  /** What the model was given for a kept turn: the earlier turns and its own input, oldest first. */
  async itemsBehind(scope: string, turn: KeptTurn): Promise<readonly Item[]> {
    const chain =
      turn.previousId === undefined ? [] : await this.#store.readChain(scope, turn.previousId, this.#limits().turnChain, this.#clock.now());
    return [...(chain ?? []).flatMap((earlier) => [...earlier.input, ...earlier.output]), ...turn.input];
  }

  delete(scope: string, id: string): Promise<boolean> {
    this.#underway.delete(underwayKey(scope, id));
    return this.#store.deleteTurn(scope, id);
  }

  /** Keeps the promise of a turn; `keep` puts the turn in its place. Resolves when it is durable. */
  async promise(run: Run, answer: Json, broken: Json): Promise<void> {
    const { promisedId: id, caller } = run;
    if (id === undefined || !caller) return;
    const now = this.#clock.now();
    await this.#store.keepTurn({
      scope: caller.scope,
      id,
      ...(run.previousId !== undefined && { previousId: run.previousId }),
      dialect: run.request.dialect.id,
      input: placed(run.ownItems ?? callOf(run).items),
      output: [],
      answer,
      promise: { callId: run.live.id, broken },
      createdAt: now,
      expiresAt: now + this.#limits().turnMs,
    });
  }

  /** Keeps a finished turn under the id its client got. Resolves when it is durable. A failed background call is kept without output. */
  async keep(run: Run, answer: Pick<Answer, "id" | "items">, wire: Json): Promise<void> {
    const id = run.promisedId ?? answer.id;
    const scope = run.caller?.scope;
    if (scope === undefined || id === "") return;
    const call = callOf(run);
    const now = this.#clock.now();
    const fingerprint = run.request.dialect.turnFingerprint?.(call);
    const turn: KeptTurn = {
      scope,
      id,
      ...(run.previousId !== undefined && { previousId: run.previousId }),
      dialect: run.request.dialect.id,
      input: placed(run.ownItems ?? call.items),
      output: placed(answer.items),
      answer: wire,
      ...(fingerprint !== undefined && { fingerprint }),
      createdAt: now,
      expiresAt: now + this.#limits().turnMs,
    };
    const connection = run.request.connection;
    if (connection && call.store === false) {
      connection.keep(turn);
      return;
    }
    const key = underwayKey(scope, id);
    this.#underway.set(key, turn);
    try {
      await Promise.all([this.#store.keepTurn(turn), this.#keepItems(turn, run.request.dialect), this.#markContinued(run, turn)]);
    } finally {
      this.#underway.delete(key);
    }
  }

  /**
   * Keeps beside the call what the client's language cannot carry back: signed or sealed reasoning, items of the provider's own, and
   * plain reasoning before tool calls where the provider reads it back: some refuse the results without it.
   */
  async keepNative(run: Run, answer: Answer): Promise<void> {
    const scope = run.caller?.scope;
    if (scope === undefined || answer.origin.dialect === run.request.dialect.id) return;
    const expiresAt = this.#clock.now() + this.#limits().turnMs;
    const kept: KeptNative[] = [];
    const isAwaited = awaitsReasoning(run, answer);
    let waiting: Item[] = [];
    let last: string | undefined;
    for (const item of answer.items) {
      if (isOpaque(item) || (isAwaited && item.type === "reasoning")) {
        waiting.push(item);
        continue;
      }
      const anchor = anchorOf(item);
      last = anchor ?? last;
      if (anchor === undefined || waiting.length === 0) continue;
      kept.push({ scope, anchor, items: waiting, expiresAt });
      waiting = [];
    }
    // A signature may come when the words that it proves are over.
    if (waiting.length > 0 && last !== undefined) kept.push({ scope, anchor: behind(last), items: waiting, expiresAt });
    await this.#storeItems(kept);
  }

  /** Puts back what `keepNative` kept, for a provider of the language and name it came from. */
  async restore(run: Run, call: Call, dialect: string, provider: string): Promise<Call> {
    const scope = run.caller?.scope;
    const anchors = call.items.map(anchorOf).filter((anchor) => anchor !== undefined);
    if (scope === undefined || anchors.length === 0) return call;
    const wanted = [...new Set(anchors)].slice(-MAX_ANCHORS);
    const found = await this.#findItems(scope, [...wanted, ...wanted.map(behind)]);
    if (found.size === 0) return call;
    const own = (kept: Item): boolean => kept.origin?.dialect === dialect && kept.origin.provider === provider;
    const items: Item[] = [];
    const used = new Set<string>();
    for (const item of call.items) {
      const anchor = anchorOf(item);
      const native = anchor === undefined || used.has(anchor) ? undefined : found.get(anchor);
      if (anchor !== undefined && native) {
        used.add(anchor);
        const mine = native.filter(own);
        if (mine.length > 0) dropForeignReasoning(items);
        items.push(...mine);
      }
      items.push(item);
      const next = anchor === undefined || used.has(behind(anchor)) ? undefined : found.get(behind(anchor));
      if (anchor === undefined || !next) continue;
      used.add(behind(anchor));
      items.push(...next.filter(own));
    }
    return amend(call, { items });
  }

  /** A turn that came to an end uses up the one before it; one that failed does not. */
  async #markContinued(run: Run, { scope, previousId, expiresAt }: KeptTurn): Promise<void> {
    if (previousId === undefined || !run.request.dialect.continuesOnce) return;
    const stored = this.#storeItems([{ scope, anchor: continuedAnchor(previousId), items: [], expiresAt }]);
    // From here on the mark is found; the row need not be waited for.
    this.#continuing.delete(underwayKey(scope, previousId));
    await stored;
  }

  /** Clients may name single items of a kept answer by id. */
  async #keepItems({ scope, id, output, expiresAt }: KeptTurn, dialect: Dialect): Promise<void> {
    const ids = dialect.itemIds?.(output, id) ?? output.map((item) => item.id);
    const kept = output.flatMap((item, place) => {
      const known = ids[place];
      return known === undefined ? [] : [{ scope, anchor: itemAnchor(known), items: [item], expiresAt }];
    });
    await this.#storeItems(kept);
  }

  async #storeItems(kept: readonly KeptNative[]): Promise<void> {
    if (kept.length === 0) return;
    for (const { scope, anchor, items } of kept) this.#itemsUnderway.set(underwayKey(scope, anchor), items);
    try {
      await this.#store.keepNative(kept);
    } finally {
      for (const { scope, anchor, items } of kept) {
        const key = underwayKey(scope, anchor);
        if (this.#itemsUnderway.get(key) === items) this.#itemsUnderway.delete(key);
      }
    }
  }

  async #findItems(scope: string, anchors: readonly string[]): Promise<ReadonlyMap<string, readonly Item[]>> {
    // Looked at before the store is: what leaves here meanwhile is found there.
    const underway = anchors.flatMap((anchor) => {
      const items = this.#itemsUnderway.get(underwayKey(scope, anchor));
      return items ? [[anchor, items] as const] : [];
    });
    const found = await this.#store.findNative(scope, anchors, this.#clock.now());
    return underway.length === 0 ? found : new Map([...found, ...underway]);
  }

  async #chain(run: Run, id: string): Promise<readonly KeptTurn[]> {
    const scope = run.caller?.scope ?? "";
    const limit = this.#limits().turnChain;
    const recent: KeptTurn[] = [];
    let wanted: string | undefined = id;
    while (wanted !== undefined && recent.length < limit) {
      const local: KeptTurn | undefined = run.request.connection?.turn(wanted) ?? this.#underway.get(underwayKey(scope, wanted));
      if (!local) break;
      recent.unshift(local);
      wanted = local.previousId;
    }
    if (wanted === undefined) return recent;
    const older = await this.#store.readChain(scope, wanted, limit - recent.length, this.#clock.now());
    if (older) return [...older, ...recent];
    throw new ProblemError({
      kind: "not_found",
      message: `The earlier turn "${id.slice(0, 100)}" is unknown here, has expired or was not kept. Send the whole conversation instead.`,
      code: "turn_not_found",
    });
  }
}

function underwayKey(scope: string, id: string): string {
  return `${scope} ${id}`;
}

function itemAnchor(id: string): string {
  return `item:${id}`;
}

/** Stands where a turn was continued; it holds nothing. */
function continuedAnchor(id: string): string {
  return `continued:${id}`;
}

/** A client's mention of an item that it does not send again. */
export function isReference(item: Item): item is UnknownItem & { readonly id: string } {
  return item.type === "unknown" && item.kind === "item_reference" && item.id !== undefined;
}

/** Where what came behind an item is kept. */
function behind(anchor: string): string {
  return `behind:${anchor}`;
}

/** Reasoning that only its provider can read, and items only its language has. */
function isOpaque(item: Item): boolean {
  return (
    (item.type === "reasoning" && (item.signature !== undefined || item.encrypted !== undefined)) ||
    (item.type === "unknown" && item.role === "assistant")
  );
}

/** Will the provider look for this answer's plain reasoning when the results of its tool calls come? */
function awaitsReasoning({ snapshot, target }: Run, answer: Answer): boolean {
  if (!target || !answer.items.some(({ type }) => type === "tool_call")) return false;
  return snapshot.providers.get(target.provider)?.capabilities(target.model).reasoningField !== undefined;
}

/** What a client of any language sends back unchanged: a tool call's id, or an assistant's words. */
function anchorOf(item: Item): string | undefined {
  if (item.type === "tool_call") return `call:${item.callId}`;
  if (item.type !== "message" || item.role !== "assistant") return undefined;
  const text = textOf(item.parts);
  return text === "" ? undefined : `text:${createHash("sha256").update(text).digest("base64url")}`;
}

/** The readable shadow of reasoning that is about to be put back whole. */
function dropForeignReasoning(items: Item[]): void {
  while (items.at(-1)?.type === "reasoning") items.pop();
}

/** Containers are told apart by identity, which does not survive being written down: each gets its place. */
function placed(items: readonly Item[]): Item[] {
  const places = new Map<Envelope, Envelope>();
  return items.map((item) => {
    if (!item.envelope) return item;
    let envelope = places.get(item.envelope);
    if (!envelope) places.set(item.envelope, (envelope = { ...item.envelope, place: places.size }));
    return { ...item, envelope };
  });
}

/** The inverse of `placed`, after reading: neighbours with the same place share one container again. */
function reunited(items: readonly Item[]): Item[] {
  let last: Envelope | undefined;
  return items.map((item) => {
    if (!item.envelope) {
      last = undefined;
      return item;
    }
    if (last && last.place === item.envelope.place && last.role === item.envelope.role) return { ...item, envelope: last };
    last = item.envelope;
    return item;
  });
}

/** The answer as its client gets it, for reading it back later. */
export function wireAnswer(run: Run, answer: Answer): Json {
  return run.request.dialect.encodeAnswer(answer, answerContext(run));
}
