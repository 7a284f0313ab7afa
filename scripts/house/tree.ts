import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Tree } from "./rules.ts";

const FOLDERS = ["src", "bin", "scripts", "bench", "test"];
const KINDS = /\.(ts|mjs|json)$|^bin\/[^.]+$/;

/** The checkout's own code, read once. */
export function readTree(root: string): Tree {
  const tree = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) visit(path);
      else if (KINDS.test(path)) tree.set(path, readFileSync(join(root, path), "utf8"));
    }
  };
  for (const folder of FOLDERS) visit(folder);
  tree.set("package-lock.json", readFileSync(join(root, "package-lock.json"), "utf8"));
  return tree;
}
