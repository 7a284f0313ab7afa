import type { EmbedResult, EmbedTask, Json, JsonObject, VectorEncoding, Vectors } from "../canon/index.ts";
import { broken, isList } from "./shared-task-fields.ts";

const FLOAT_BYTES = 4;

/** Little-endian 32-bit floats in base64: what a list of numbers becomes, each rounded to the nearest float. */
export function toBase64(values: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(values.length * FLOAT_BYTES);
  let at = 0;
  for (const value of values) at = bytes.writeFloatLE(value, at);
  return bytes.toString("base64");
}

/** The exact value of each float. @throws ProblemError upstream_broken */
export function fromBase64(text: string): readonly number[] {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === 0 || bytes.length % FLOAT_BYTES !== 0)
    throw broken("The provider's answer holds a vector that is not base64 of 32-bit floats.");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = Array.from<number>({ length: bytes.length / FLOAT_BYTES });
  for (let at = 0; at < values.length; at++) {
    const value = view.getFloat32(at * FLOAT_BYTES, true);
    if (!Number.isFinite(value)) throw notFinite();
    values[at] = value;
  }
  return values;
}

/**
 * Rows that hold a vector each as a list of numbers, made of base64 only when it is written: so many numbers at once take long to make and
 * much room.
 */
export function rowsOfFloats(base64: readonly string[], row: (index: number) => JsonObject, field: string): readonly JsonObject[] {
  let last: { readonly index: number; readonly vector: readonly number[] } | undefined;
  const vectorAt = (index: number): readonly number[] => {
    if (last?.index !== index) last = { index, vector: fromBase64(base64[index] ?? "") };
    return last.vector;
  };
  return base64.map((_text, index) => Object.defineProperty({ ...row(index) }, field, { enumerable: true, get: () => vectorAt(index) }));
}

/** The vectors in one encoding, converted where that loses nothing but precision beyond a float's. @throws ProblemError upstream_broken */
export function vectorsIn(vectors: Vectors, encoding: VectorEncoding): readonly (readonly number[])[] | readonly string[] {
  const given = vectors[encoding];
  if (given) return given;
  if (encoding === "float" && vectors.base64) return vectors.base64.map(fromBase64);
  if (encoding === "base64" && vectors.float) return vectors.float.map(toBase64);
  throw broken(`The provider's answer holds no vectors as ${encoding}.`);
}

/** A list of an answer that is to be a vector. */
export function vectorOf(value: Json | undefined): readonly number[] {
  if (!isList(value) || value.length === 0) throw broken("The provider's answer holds a vector that is no list of numbers.");
  for (const one of value) if (typeof one !== "number" || !Number.isFinite(one)) throw notFinite();
  return value as readonly number[];
}

function notFinite(): Error {
  return broken("The provider's answer holds a vector with something that is not a finite number.");
}

/** One vector for each input, all of one length, which is the one asked for. @throws ProblemError upstream_broken */
export function fitting(result: EmbedResult, { inputs, dimensions }: EmbedTask): EmbedResult {
  for (const [encoding, vectors] of Object.entries(result.vectors) as readonly [
    VectorEncoding,
    readonly (string | readonly number[])[],
  ][]) {
    if (vectors.length !== inputs.length) throw broken(`The provider answered with ${vectors.length} vectors for ${inputs.length} inputs.`);
    const first = lengthOf(vectors[0], encoding);
    const other = vectors.find((vector) => lengthOf(vector, encoding) !== first);
    if (other !== undefined) throw broken(`The provider answered with vectors of ${first} and of ${lengthOf(other, encoding)} dimensions.`);
    if (dimensions !== undefined && first !== dimensions)
      throw broken(`The provider answered with vectors of ${first} dimensions, and ${dimensions} were asked for.`);
  }
  return result;
}

const BITS = 8;

function lengthOf(vector: string | readonly number[] | undefined, encoding: VectorEncoding): number {
  if (vector === undefined) return 0;
  if (typeof vector === "string") return Buffer.byteLength(vector, "base64") / FLOAT_BYTES;
  return encoding === "binary" || encoding === "ubinary" ? vector.length * BITS : vector.length;
}
