import { crc32, deflateSync } from "node:zlib";

/** Samples of a second, and bytes of one. */
const SAMPLE_RATE = 8000;
const SAMPLE_BYTES = 2;
/** Of speech, in characters a second. */
const LETTERS_PER_SECOND = 15;
const MOST_SECONDS = 60;
const LOUD = 8000;

/** Seconds that a text takes to say. */
export function secondsOf(text: string): number {
  return Math.min(MOST_SECONDS, Math.max(0.1, text.length / LETTERS_PER_SECOND));
}

/** A tone as long as the text would be, a different one for each text: 16 bits, mono. */
export function samplesOf(text: string, pitch: number): Buffer {
  const count = Math.round(secondsOf(text) * SAMPLE_RATE);
  const samples = Buffer.alloc(count * SAMPLE_BYTES);
  for (let at = 0; at < count; at++)
    samples.writeInt16LE(Math.round(LOUD * Math.sin((2 * Math.PI * pitch * at) / SAMPLE_RATE)), at * SAMPLE_BYTES);
  return samples;
}

/** RIFF WAVE, plain PCM. */
export function waveOf(samples: Buffer): Buffer {
  const head = Buffer.alloc(44);
  head.write("RIFF", 0, "latin1");
  head.writeUInt32LE(36 + samples.length, 4);
  head.write("WAVEfmt ", 8, "latin1");
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(SAMPLE_RATE, 24);
  head.writeUInt32LE(SAMPLE_RATE * SAMPLE_BYTES, 28);
  head.writeUInt16LE(SAMPLE_BYTES, 32);
  head.writeUInt16LE(8 * SAMPLE_BYTES, 34);
  head.write("data", 36, "latin1");
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const RGB = 2;

/** A square of one colour (PNG specification, sections 5 and 11). */
export function pngOf(side: number, colour: readonly [number, number, number]): Buffer {
  const row = Buffer.concat([Buffer.from([0]), ...Array.from({ length: side }, () => Buffer.from(colour))]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, RGB, 0, 0, 0], 8);
  const pixels = deflateSync(Buffer.concat(Array.from({ length: side }, () => row)));
  return Buffer.concat([PNG_SIGNATURE, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(content.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([size, named, sum]);
}
