import type { TaskFile } from "../canon/index.ts";

/** Of bare samples: one channel of 16 bits. */
const SAMPLE_BYTES = 2;
const HEAD_BYTES = 44;
/** Plain samples, in the numbering of the format. */
const PCM = 1;

/** What stands before bare samples in a WAV file (RIFF WAVE; mono, 16 bits, little-endian). */
export function waveHead(bytes: number, sampleRate: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write("RIFF", 0, "latin1");
  head.writeUInt32LE(HEAD_BYTES - 8 + bytes, 4);
  head.write("WAVEfmt ", 8, "latin1");
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(PCM, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(sampleRate, 24);
  head.writeUInt32LE(sampleRate * SAMPLE_BYTES, 28);
  head.writeUInt16LE(SAMPLE_BYTES, 32);
  head.writeUInt16LE(8 * SAMPLE_BYTES, 34);
  head.write("data", 36, "latin1");
  head.writeUInt32LE(bytes, 40);
  return head;
}

/** `audio/L16;codec=pcm;rate=24000` as samples a second; undefined: it is no bare samples. */
export function sampleRateOf(contentType: string): number | undefined {
  if (!/^audio\/(?:l16|pcm)\b/i.test(contentType)) return undefined;
  const rate = Number(/;\s*rate=(\d{4,6})\b/i.exec(contentType)?.[1] ?? DEFAULT_RATE);
  return rate > 0 ? rate : undefined;
}
const DEFAULT_RATE = 24_000;

const BY_ENDING: Readonly<Record<string, string>> = {
  mp3: "audio/mpeg",
  mpga: "audio/mpeg",
  mpeg: "audio/mpeg",
  wav: "audio/wav",
  m4a: "audio/mp4",
  mp4: "audio/mp4",
  ogg: "audio/ogg",
  oga: "audio/ogg",
  opus: "audio/ogg",
  flac: "audio/flac",
  webm: "audio/webm",
  aac: "audio/aac",
  aiff: "audio/aiff",
};

/** The type of a sound file: as it came, unless that says nothing, by its name's ending otherwise. */
export function soundType({ contentType, name }: Pick<TaskFile, "contentType" | "name">): string | undefined {
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type.startsWith("audio/")) return type === "audio/x-wav" || type === "audio/wave" ? "audio/wav" : type;
  return (
    BY_ENDING[/\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? ""] ?? (type === "video/mp4" || type === "video/webm" ? type : undefined)
  );
}
