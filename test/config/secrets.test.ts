import { describe, expect, it } from "vitest";
import { readConfig } from "../../src/config/index.ts";
import { maskSecrets } from "../../src/config/secrets.ts";

const KEY = "sk-live-4f6b1d0c9a8e7";

function warnings(lines: string, env: Record<string, string> = {}): string[] {
  const outcome = readConfig(`version: 1\nproviders:\n${lines}\n`, env);
  if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems));
  return outcome.warnings.map(({ line, message, remedy }) => `${line} ${message} ${remedy ?? ""}`);
}

describe("a key that stands in the file itself", () => {
  it.each([
    ["plainly", `  my-lab: { kind: openai-compatible, baseUrl: https://a.example, apiKey: ${KEY} }`],
    ["as a default", `  my-lab: { kind: openai-compatible, baseUrl: https://a.example, apiKey: "\${MY_LAB_API_KEY:-${KEY}}" }`],
    [
      "in a header",
      `  my-lab: { kind: openai-compatible, baseUrl: https://a.example, apiKey: \${K}, headers: { X-Api-Key: ${KEY}, x-plan: a-rather-long-text } }`,
    ],
  ])("is warned of without being repeated: %s", (_how, line) => {
    const found = warnings(line, { K: "k" });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^3 providers\.my-lab\./);
    expect(found[0]).toContain("${MY_LAB_API_KEY}");
    expect(found[0]).not.toContain(KEY);
  });

  it.each([
    ["a variable", "  lab: { kind: openai-compatible, baseUrl: https://a.example, apiKey: ${LAB_KEY} }"],
    [
      "a variable behind a word",
      '  lab: { kind: openai-compatible, baseUrl: https://a.example, headers: { authorization: "Bearer ${LAB_KEY}" } }',
    ],
    [
      "what local servers are given for a key",
      "  lab: { kind: openai-compatible, baseUrl: http://127.0.0.1:1/v1, apiKey: x, allowPrivateNetwork: true }",
    ],
    ["no provider's options", "  openai:"],
  ])("is not seen in %s", (_what, line) => {
    expect(warnings(line, { LAB_KEY: KEY })).toEqual([]);
  });
});

describe("the client secret of people's provider", () => {
  const text = (secret: string): string =>
    `version: 1\nidentity: { oidc: { issuer: https://a.example, clientId: c, clientSecret: "${secret}" } }\n`;

  it("is warned of where it stands in the file, and masked where the file is shown", () => {
    const outcome = readConfig(text(KEY), {});
    if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems));
    expect(outcome.warnings.map(({ message }) => message)).toEqual([expect.stringContaining("identity.oidc.clientSecret")]);
    expect(JSON.stringify(outcome)).not.toContain(KEY);
    expect(maskSecrets(text(KEY))).toBe(text("***"));
    expect(maskSecrets(text("${GIMBAL_CLIENT_SECRET}"))).toBe(text("${GIMBAL_CLIENT_SECRET}"));
  });
});
