import { languages } from "../../src/dialects/registry.generated.ts";
import { openApiDocument } from "../../src/server/openapi/index.ts";

/** What `GET /openapi.json` answers, for readers without a gateway. */
export function openApiFile(): string {
  return `${JSON.stringify(openApiDocument(languages.values()), null, 2)}\n`;
}
