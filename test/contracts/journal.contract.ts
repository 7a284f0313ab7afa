import { describe, expect, it } from "vitest";
import type { JournalPage, JournalPart, Stores } from "../../src/canon/index.ts";
import { START } from "../stores/rows.ts";

const HEAD = { status: 200, headers: { "content-type": "text/event-stream", "x-gimbal-call-id": "call_1" } };
const SECOND = 1000;

export function part(callId: string, first: number, texts: readonly string[], rest: Partial<JournalPart> = {}): JournalPart {
  const frames = texts.map((text) => Buffer.from(text));
  return { callId, scope: "key_1", dialect: "lang", node: "node-a", first, frames, ...rest };
}
export const texts = (page: JournalPage | undefined): string[] => (page?.frames ?? []).map((frame) => Buffer.from(frame).toString());

/** What every journal and every store of idempotency keys promises. `open` gives empty stores, which the suite closes. */
export function journalContract(name: string, open: () => Promise<Stores>): void {
  const withStores = (use: (stores: Stores) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores);
    } finally {
      await stores.close();
    }
  };

  describe(`${name}: journal`, () => {
    it(
      "gives frames back as they were, over blocks and in pages, each call its own",
      withStores(async ({ journal }) => {
        await journal.append([part("call_1", 1, ["a", "b\u0000"], { head: HEAD }), part("call_2", 1, ["other"], { head: HEAD })], START);
        await journal.append([part("call_1", 3, ["ü", ""])], START);
        await journal.append([part("call_1", 5, ["e"], { until: START + SECOND })], START);
        const page = await journal.read("call_1", 0, 1000, START, 0);
        expect(texts(page)).toEqual(["a", "b\u0000", "ü", "", "e"]);
        expect(page).toMatchObject({ first: 1, head: HEAD, more: false, entry: { state: "ended", scope: "key_1", dialect: "lang" } });
        expect(texts(await journal.read("call_1", 3, 1000, START, 0))).toEqual(["", "e"]);
        expect(texts(await journal.read("call_2", 0, 1000, START, 0))).toEqual(["other"]);
        const small = await journal.read("call_1", 0, 1, START, 0);
        expect(small?.more).toBe(true);
        const rest = await journal.read("call_1", small?.frames.length ?? 0, 1000, START, small?.next ?? 0);
        expect([...texts(small), ...texts(rest)]).toEqual(["a", "b\u0000", "ü", "", "e"]);
      }),
    );

    it(
      "finds a call while it runs and until it expires, by its answer too, in its own scope only",
      withStores(async ({ journal }) => {
        await journal.append([part("call_1", 1, [], { head: { ...HEAD, answerId: "resp_1", findable: true } })], START);
        expect(await journal.find("call_1", START)).toMatchObject({ state: "open", node: "node-a", beganAt: START });
        expect(await journal.find("call_0", START)).toBeUndefined();
        expect((await journal.findAnswer("key_1", "resp_1", START))?.callId).toBe("call_1");
        expect(await journal.findAnswer("key_2", "resp_1", START)).toBeUndefined();
        await journal.append([part("call_1", 1, ["x"], { until: START + SECOND })], START + 10);
        expect((await journal.find("call_1", START + SECOND - 1))?.state).toBe("ended");
        expect(await journal.find("call_1", START + SECOND)).toBeUndefined();
        expect(await journal.read("call_1", 0, 10, START + SECOND, 0)).toBeUndefined();
        expect(await journal.findAnswer("key_1", "resp_1", START + SECOND)).toBeUndefined();
      }),
    );

    it(
      "follows a call that grows",
      withStores(async ({ journal }) => {
        await journal.append([part("call_1", 1, ["1"], { head: HEAD })], START);
        const one = await journal.read("call_1", 0, 1000, START, 0);
        await journal.append([part("call_0", 1, ["z"], { head: HEAD })], START);
        await journal.append([part("call_1", 2, ["2", "3"])], START);
        const two = await journal.read("call_1", 1, 1000, START, one?.next ?? 0);
        expect(texts(two)).toEqual(["2", "3"]);
        expect(two?.head).toBeUndefined();
      }),
    );

    it(
      "breaks what a dead node left open, and nothing else",
      withStores(async ({ journal }) => {
        await journal.append(
          [
            part("call_a", 1, ["a"], { head: HEAD }),
            part("call_b", 1, ["b"], { head: HEAD, node: "node-b" }),
            part("call_c", 1, ["c"], { head: HEAD, until: START + SECOND }),
          ],
          START,
        );
        expect(await journal.abandon("node-a", START + SECOND)).toBe(1);
        expect((await journal.find("call_a", START))?.state).toBe("broken");
        expect((await journal.find("call_b", START))?.state).toBe("open");
        expect((await journal.find("call_c", START))?.state).toBe("ended");
        expect(await journal.abandon(undefined, START + SECOND)).toBe(1);
        expect(await journal.find("call_a", START + SECOND)).toBeUndefined();
      }),
    );

    it(
      "takes many calls and large ones at once",
      withStores(async ({ journal }) => {
        const large = "x".repeat(300_000);
        const names = Array.from({ length: 300 }, (_, place) => `call_${place}`);
        await journal.append(
          names.map((id) => part(id, 1, [`${id} 1`, id === "call_7" ? large : "2"], { head: HEAD })),
          START,
        );
        expect(texts(await journal.read("call_299", 0, 1000, START, 0))).toEqual(["call_299 1", "2"]);
        expect(texts(await journal.read("call_7", 1, 1000, START, 0))).toEqual([large]);
      }),
    );
  });

  describe(`${name}: idempotency keys`, () => {
    const claim = (callId: string, rest: object = {}): Parameters<Stores["idempotency"]["claim"]>[0] => ({
      scope: "key_1",
      key: "once",
      fingerprint: "f1",
      callId,
      node: "node-a",
      expiresAt: START + SECOND,
      ...rest,
    });
    const answer = { head: HEAD, frames: [Buffer.from("one"), Buffer.from([0, 255])] };

    it(
      "gives a key to one of many who ask at once",
      withStores(async ({ idempotency }) => {
        const asked = await Promise.all(["call_1", "call_2", "call_3"].map((id) => idempotency.claim(claim(id), START)));
        expect(asked.filter((held) => held === undefined)).toHaveLength(1);
        const holder = await idempotency.read("key_1", "once", START);
        for (const held of asked) if (held) expect(held.callId).toBe(holder?.callId);
        expect(await idempotency.claim(claim("call_9", { scope: "key_2" }), START)).toBeUndefined();
      }),
    );

    it(
      "keeps the answer for whoever comes later, until it expires",
      withStores(async ({ idempotency }) => {
        await idempotency.claim(claim("call_1"), START);
        await idempotency.keep("key_1", "once", "call_other", answer);
        expect((await idempotency.read("key_1", "once", START))?.answer).toBeUndefined();
        await idempotency.keep("key_1", "once", "call_1", answer);
        const held = await idempotency.claim(claim("call_2"), START);
        expect(held).toMatchObject({ callId: "call_1", fingerprint: "f1", answer: { head: HEAD } });
        expect(held?.answer?.frames.map((frame) => Buffer.from(frame).toString("hex"))).toEqual(["6f6e65", "00ff"]);
        expect(await idempotency.read("key_2", "once", START)).toBeUndefined();
        expect(await idempotency.claim(claim("call_3"), START + SECOND)).toBeUndefined();
      }),
    );

    it(
      "is released or taken over only from the call that holds it",
      withStores(async ({ idempotency }) => {
        await idempotency.claim(claim("call_1"), START);
        await idempotency.release("key_1", "once", "call_2");
        expect((await idempotency.claim(claim("call_2"), START))?.callId).toBe("call_1");
        expect((await idempotency.claim(claim("call_2"), START, "call_0"))?.callId).toBe("call_1");
        expect(await idempotency.claim(claim("call_2"), START, "call_1")).toBeUndefined();
        await idempotency.release("key_1", "once", "call_2");
        expect(await idempotency.claim(claim("call_3"), START)).toBeUndefined();
      }),
    );
  });
}
