import { languages as dialects } from "../../dialects/registry.generated.ts";
import { SystemRandomness } from "../../kit/index.ts";
import type { CatalogRow } from "../catalog.ts";
import { createLocalProvider } from "./index.ts";

/** Models in process: no address and no key, only files. */
export const LOCAL_ROWS: Readonly<Record<string, CatalogRow>> = {
  local: {
    title: "Models in process",
    auth: { style: "bearer" },
    environment: [],
    needsKey: false,
    dialects: ["openai-chat"],
    wire: {},
    assume: {},
    hints: [],
    inProcess: true,
    quirks: ["runs GGUF and ONNX files on this machine, without any network: see docs/local.md"],
    create: ({ name, options, deps }) =>
      createLocalProvider(name, options, {
        dialects,
        clock: deps.clock,
        randomness: deps.randomness ?? new SystemRandomness(),
        env: deps.env,
        dataFolder: deps.dataFolder,
        folder: process.cwd(),
      }),
  },
};
