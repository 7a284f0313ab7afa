import { expect, it } from "vitest";
import { ConfigDocument, maskSecrets } from "../../src/config/index.ts";
import { writtenSecrets } from "../../src/config/secrets.ts";

it("a collector's key in the file is warned of and masked", () => {
  const text =
    "version: 1\ntelemetry:\n  otlp:\n    endpoint: http://c\n    headers: { x-api-key: abcdefghijklmnop, x-tenant: production-eu-1 }\n";
  expect(writtenSecrets(new ConfigDocument(text)).map(({ message }) => message)).toEqual([expect.stringContaining("TELEMETRY_API_KEY")]);
  expect(maskSecrets(text)).not.toContain("abcdefghijklmnop");
  expect(maskSecrets(text)).toContain("production-eu-1");
});
