import { describe, expect, it } from "vitest";
import { PIECE_BYTES } from "../../src/canon/index.ts";
import { batchesOptions } from "../../src/batches/index.ts";
import { linesOf, piecesOf, PieceWriter, type Line } from "../../src/batches/pieces.ts";
import { Slots } from "../../src/batches/slots.ts";
import { untilOpen } from "../../src/batches/window.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function all(bytes: Buffer, size: number, maxBytes = 100): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for await (const line of linesOf(cut(bytes, size), maxBytes)) lines.push(line);
  return lines;
}

describe("lines of a file", () => {
  const text = Buffer.concat([
    Buffer.from("\uFEFFfirst ü\r\n\n  \t\r\nsecond\n"),
    Buffer.from("x".repeat(101)),
    Buffer.from("\n"),
    Buffer.from([0xff, 0x0a]),
    Buffer.from(`${"y".repeat(100)}\nlast`),
  ]);
  const wanted = ["first ü\r", "second", undefined, undefined, "y".repeat(100), "last"];
  it.each([3, 4, 7, 64, 1000])("are the same however they come (%s bytes at a time)", async (size) => {
    const lines = await all(text, size);
    expect(lines.map((line) => line.text)).toEqual(wanted);
    expect(lines.map((line) => line.number)).toEqual([1, 2, 3, 4, 5, 6]);
  });
  it("may be none", async () => {
    expect(await all(Buffer.from("\n\r\n \n"), 2)).toEqual([]);
    expect(await all(Buffer.alloc(0), 2)).toEqual([]);
  });
});

describe("pieces", () => {
  it.each([0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5])(
    "of %s bytes come back as they were",
    async (bytes) => {
      const { files } = memoryStores(new ManualClock(0));
      const content = Buffer.alloc(bytes, "abcdefg");
      const place = { scope: "s", id: "f", expiresAt: 1 };
      for (const size of [1000, 100_000, 10_000_000]) {
        const writer = new PieceWriter(files, place);
        for await (const part of cut(content, size)) await writer.write(part);
        await writer.end();
        expect(writer.bytes).toBe(bytes);
        const pieces: Buffer[] = [];
        for await (const piece of piecesOf(files, place)) pieces.push(piece);
        expect(pieces).toHaveLength(Math.ceil(bytes / PIECE_BYTES));
        expect(Buffer.concat(pieces).equals(content)).toBe(true);
      }
    },
  );
});

describe("the hours of batches", () => {
  const at = (time: string): number => Date.parse(`2026-07-01T${time}Z`);
  const window = (from: string, to: string, zone = "UTC"): NonNullable<Parameters<typeof untilOpen>[0]> => ({ from, to, zone });
  it("may go over midnight, in their own time zone", () => {
    expect(untilOpen(undefined, at("12:00:00"))).toBe(0);
    const night = window("22:00", "06:00");
    expect(untilOpen(night, at("22:00:00"))).toBe(0);
    expect(untilOpen(night, at("05:59:59"))).toBe(0);
    expect(untilOpen(night, at("06:00:00"))).toBe(16 * 3_600_000);
    expect(untilOpen(night, at("21:59:30"))).toBe(30_000);
    expect(untilOpen(window("22:00", "06:00", "Europe/Berlin"), at("20:00:00"))).toBe(0);
    expect(untilOpen(window("22:00", "06:00", "Europe/Berlin"), at("19:59:00"))).toBe(60_000);
    expect(untilOpen(window("09:00", "10:00"), at("10:00:00"))).toBe(23 * 3_600_000);
    expect(untilOpen(window("09:00", "09:00"), at("03:00:00"))).toBe(0);
  });
  it("must be hours", () => {
    expect(batchesOptions.safeParse({ window: { from: "24:00", to: "06:00" } }).success).toBe(false);
    expect(batchesOptions.safeParse({ window: { from: "22:00", to: "06:00", zone: "Mars/Base" } }).success).toBe(false);
    expect(batchesOptions.safeParse({ window: { from: "22:00", to: "06:00", zone: "Asia/Tokyo" } }).success).toBe(true);
  });
});

describe("slots", () => {
  it("are so many at once, in order, also when there are fewer or more", async () => {
    let most = 2;
    const slots = new Slots(() => most);
    const taken: string[] = [];
    const take = async (name: string): Promise<() => void> => {
      const back = await slots.take();
      taken.push(name);
      return back;
    };
    const [a, b] = [await take("a"), await take("b")];
    const [c, d, e] = [take("c"), take("d"), take("e")];
    await Promise.resolve();
    expect(taken).toEqual(["a", "b"]);
    a();
    a();
    await c;
    expect(taken).toEqual(["a", "b", "c"]);
    most = 1;
    b();
    await Promise.resolve();
    expect(taken).toEqual(["a", "b", "c"]);
    most = 3;
    (await c)();
    await Promise.all([d, e]);
    expect(taken).toEqual(["a", "b", "c", "d", "e"]);
  });
});
