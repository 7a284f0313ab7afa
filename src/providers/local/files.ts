import { closeSync, existsSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Problem } from "../../canon/index.ts";

/** Every GGUF file begins so. Source: the format's specification, version 3. */
const GGUF_MAGIC = "GGUF";

/** Where the package looks for weights of each kind. */
const WEIGHTS: Readonly<Record<string, string>> = {
  fp32: "model.onnx",
  fp16: "model_fp16.onnx",
  q8: "model_quantized.onnx",
  int8: "model_int8.onnx",
  uint8: "model_uint8.onnx",
  q4: "model_q4.onnx",
  q4f16: "model_q4f16.onnx",
  bnb4: "model_bnb4.onnx",
};

/** Is the file there, and does it begin like a GGUF file? */
export function checkGguf(path: string): Problem | undefined {
  if (!existsSync(path)) return missing(path);
  if (statSync(path).isDirectory()) return corrupt(path, "it is a folder, not a GGUF file");
  const start = Buffer.alloc(GGUF_MAGIC.length);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    return unreadable(path, error);
  }
  try {
    readSync(file, start, 0, start.length, 0);
  } finally {
    closeSync(file);
  }
  return start.toString("latin1") === GGUF_MAGIC ? undefined : corrupt(path, "it does not begin like a GGUF file");
}

/** Has the folder what an ONNX model needs? */
export function checkOnnx(folder: string, dtype: string): Problem | undefined {
  if (!existsSync(folder)) return missing(folder);
  for (const name of ["config.json", "tokenizer.json", join("onnx", WEIGHTS[dtype] ?? "model.onnx")]) {
    const path = join(folder, name);
    if (!existsSync(path)) return missing(path);
    if (statSync(path).size === 0) return corrupt(path, "it is empty");
  }
  return undefined;
}

/** Bytes of a file, or of all files in a folder. */
export function sizeOf(path: string): number {
  try {
    const stat = statSync(path);
    if (!stat.isDirectory()) return stat.size;
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  } catch {
    return 0;
  }
}

function missing(path: string): Problem {
  return { kind: "upstream_unavailable", code: "model_file_missing", message: `The model file ${path} is not there.` };
}

function corrupt(path: string, why: string): Problem {
  return { kind: "unsupported", code: "model_file_corrupt", message: `The model file ${path} cannot be used: ${why}.` };
}

function unreadable(path: string, error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  return { kind: "upstream_unavailable", code: "model_file_unreadable", message: `The model file ${path} cannot be read: ${message}.` };
}
