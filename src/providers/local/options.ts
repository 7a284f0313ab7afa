import { z } from "zod";

const MIB_MOST = 4 * 1024 * 1024;

/** Members of a model's options that only models in process have. */
export const localModelShape = {
  file: z.string().min(1).max(4096).optional().describe("Path of a GGUF file, from the folder in which Gimbal is started."),
  folder: z.string().min(1).max(4096).optional().describe("Path of a folder with an ONNX model: `config.json`, `tokenizer.json`, `onnx/`."),
  hub: z
    .string()
    .regex(/^[\w.-]+\/[\w.-]+$/, "must be owner/name")
    .optional()
    .describe("Name of an ONNX model on a hub; needs `allowDownload: true`."),
  allowDownload: z.boolean().optional().describe("May this model be fetched from a hub, and be kept in the data folder?"),
  task: z
    .enum(["chat", "embed", "rerank", "classify"])
    .optional()
    .describe("What it is for; default: `chat` for a file, `embed` for a folder."),
  gpuLayers: z.int().min(0).max(1000).optional().describe("Layers on the graphics card; 0: none; default: as many as fit."),
  sequences: z
    .int()
    .min(1)
    .max(64)
    .optional()
    .describe("Conversations at once, each with a context of its own; further ones wait. Default 1."),
  threads: z.int().min(1).max(1024).optional().describe("Threads it computes with; default: one less than the cores that may be used."),
  memoryMiB: z
    .int()
    .min(64)
    .max(MIB_MOST)
    .optional()
    .describe("Memory above which its process is ended; default: half as much again as its files, and 2048."),
  openTimeoutMs: z
    .int()
    .min(100)
    .max(3_600_000)
    .optional()
    .describe("Longest time that opening it may take, in milliseconds; default 300000."),
  pooling: z.enum(["mean", "cls"]).optional().describe("How an ONNX model's tokens become one vector; default `mean`."),
  normalize: z.boolean().optional().describe("Are its vectors brought to length 1? Default: yes."),
  dtype: z
    .enum(["fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"])
    .optional()
    .describe("Which of an ONNX model's files of weights is taken; default `fp32`, which is `onnx/model.onnx`."),
  harmless: z
    .array(z.string().min(1).max(200))
    .max(100)
    .optional()
    .describe("Labels of a classifier that flag nothing; default: `safe`, `benign`, `clean`, `neutral`, `ok`, `LABEL_0`."),
} as const;

const localModel = z.object(localModelShape);
export type LocalModelOptions = z.infer<typeof localModel>;

/** Names of the options above. */
export const LOCAL_OPTIONS = Object.keys(localModelShape) as readonly (keyof LocalModelOptions)[];
