import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { providersDoc } from "../../scripts/generate-providers-doc.ts";

it("docs/providers.md says what the catalogue says: run node scripts/generate-providers-doc.ts", () => {
  expect(readFileSync(join(import.meta.dirname, "../../docs/providers.md"), "utf8")).toBe(providersDoc());
});
