import type { Clock } from "../canon/index.ts";
import { addGone, type Family, type ProcessPage } from "../ledger/telemetry/index.ts";
import type { Channel } from "../stores/index.ts";

/** Tells these messages from others on the channel. */
const TAG = "gimbal.metrics";
/** How often a worker hands over what it counted, so that little is lost when it dies. */
const REPORT_MS = 1000;
/** Making a report takes no more than this share of a process: one with many series hands over less often. */
const REPORT_SHARE = 0.01;
/** How long a page waits for a worker that is busy; its last report stands in then. */
const ANSWER_MS = 500;

/** Worker to primary. `report`: what it counted so far; `ask`: what do all of them count? */
interface FromWorker {
  readonly tag: typeof TAG;
  readonly report?: ProcessPage;
  /** The question that the report answers. */
  readonly answers?: number;
  readonly ask?: number;
}

/** Primary to worker: a question, or the answer to one of its own. */
interface FromPrimary {
  readonly tag: typeof TAG;
  readonly want?: number;
  readonly all?: { readonly ask: number; readonly others: readonly ProcessPage[]; readonly gone: readonly Family[] };
}

export type OtherPages = Omit<NonNullable<FromPrimary["all"]>, "ask">;

/** What a serving process has of the others. */
export interface MetricsPeers {
  /** From now on this process's page is to be had by the others. `scraped`: somebody asked for it; else it is kept for when this process dies. */
  share(page: (scraped: boolean) => ProcessPage): void;
  /** Pages of the others that live, and the sum of those that died. */
  others(): Promise<OtherPages>;
}

const NOBODY: OtherPages = { others: [], gone: [] };

/** A worker's end. */
export function metricsPeers(channel: Channel, clock: Clock): MetricsPeers {
  const asked = new Map<number, (pages: OtherPages) => void>();
  let number = 0;
  let page: ((scraped: boolean) => ProcessPage) | undefined;
  const send = (message: Omit<FromWorker, "tag">): void => channel.send({ tag: TAG, ...message } satisfies FromWorker);
  channel.onMessage((message) => {
    if (!isTagged(message)) return;
    const { want, all } = message as FromPrimary;
    if (want !== undefined) send({ answers: want, ...(page && { report: page(true) }) });
    if (all) asked.get(all.ask)?.(all);
  });
  return {
    share(made) {
      page = made;
      const hand = (): void => {
        const before = clock.monotonic();
        send({ report: made(false) });
        clock.after(Math.max(REPORT_MS, (clock.monotonic() - before) / REPORT_SHARE), hand);
      };
      clock.after(REPORT_MS, hand);
    },
    others() {
      const ask = ++number;
      return new Promise((resolve) => {
        const answered = (pages: OtherPages): void => {
          cancel();
          asked.delete(ask);
          resolve(pages);
        };
        const cancel = clock.after(2 * ANSWER_MS, () => answered(NOBODY));
        asked.set(ask, answered);
        send({ ask });
      });
    },
  };
}

interface Member {
  readonly channel: Channel;
  last: ProcessPage | undefined;
}

interface Round {
  readonly waiting: Set<Member>;
  readonly over: () => void;
}

/** The primary's end: it keeps each worker's last report, and what those that died had counted. */
export class MetricsHost {
  readonly #clock: Clock;
  readonly #members = new Set<Member>();
  readonly #rounds = new Map<number, Round>();
  #number = 0;
  #gone: Family[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Serves one worker until its channel closes. Call it as soon as the worker is forked. */
  attach(channel: Channel): void {
    const member: Member = { channel, last: undefined };
    this.#members.add(member);
    channel.onMessage((message) => {
      if (!isTagged(message)) return;
      const { report, answers, ask } = message as FromWorker;
      if (report) member.last = report;
      if (answers !== undefined) this.#answered(answers, member);
      if (ask !== undefined) this.#ask(member, ask);
    });
    channel.onClose(() => {
      this.#members.delete(member);
      if (member.last) this.#gone = addGone(this.#gone, member.last.families);
      for (const number of this.#rounds.keys()) this.#answered(number, member);
    });
  }

  #ask(asker: Member, ask: number): void {
    const number = ++this.#number;
    const waiting = new Set([...this.#members].filter((member) => member !== asker));
    const over = (): void => {
      cancel();
      this.#rounds.delete(number);
      const others = [...this.#members].flatMap((member) => (member !== asker && member.last ? [member.last] : []));
      sendTo(asker, { all: { ask, others, gone: this.#gone } });
    };
    const cancel = this.#clock.after(ANSWER_MS, over);
    this.#rounds.set(number, { waiting, over });
    for (const member of waiting) sendTo(member, { want: number });
    if (waiting.size === 0) over();
  }

  #answered(number: number, member: Member): void {
    const round = this.#rounds.get(number);
    if (round?.waiting.delete(member) && round.waiting.size === 0) round.over();
  }
}

function sendTo({ channel }: Member, message: Omit<FromPrimary, "tag">): void {
  channel.send({ tag: TAG, ...message } satisfies FromPrimary);
}

function isTagged(message: unknown): message is { readonly tag: typeof TAG } {
  return typeof message === "object" && message !== null && "tag" in message && message.tag === TAG;
}
