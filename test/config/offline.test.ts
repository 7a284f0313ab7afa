import { describe, expect, it } from "vitest";
import { ConfigError, readSource } from "../../src/config/index.ts";

const ENV = { OLLAMA_BASE_URL: "http://127.0.0.1:11434/v1" };

function complaints(text: string, env: Readonly<Record<string, string>> = ENV): readonly string[] {
  try {
    readSource({ text: `version: 1\noffline: true\n${text}`, fileName: "gimbal.yaml" }, { env, log: () => {} });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.needsNetwork).toBe(true);
    return error.message.split("\n").map((line) => /offline: (.*); take it out/.exec(line)?.[1] ?? line);
  }
}

describe("offline: true", () => {
  it("takes what stays on this machine", () => {
    const config = `
providers:
  here: { kind: local, models: { tiny: { file: tiny.gguf } } }
  ollama: {}
  lab: { kind: openai-compatible, baseUrl: "http://[::1]:9/v1", allowPrivateNetwork: true }
models: { a: [sim/echo, here/tiny] }
telemetry: { otlp: { endpoint: "http://localhost:4318" } }
`.replace("[sim/echo, here/tiny]", "{ targets: [sim/echo, here/tiny] }");
    expect(complaints(config)).toEqual([]);
  });
  it("refuses everything else, each by its name", () => {
    const config = `
providers:
  here: { kind: local, models: { far: { hub: owner/name, allowDownload: true } } }
  openai: { apiKey: x }
  lab: { kind: openai-compatible, baseUrl: "http://10.0.0.4/v1", allowPrivateNetwork: true }
  near: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", allowPrivateNetwork: true, proxy: "http://proxy:3128" }
telemetry: { otlp: { endpoint: "https://otel.example.com" } }
identity:
  jwt:
    - { name: a, issuer: "https://issuer.example.com", audience: x }
    - { name: b, issuer: "https://other.example.com", audience: x, jwksUri: "http://127.0.0.1:8/keys" }
`;
    expect(complaints(config)).toEqual([
      "providers.here.models.far may be downloaded from a hub",
      "providers.openai is at api.openai.com",
      "providers.lab is at 10.0.0.4",
      "providers.near.proxy is the address of a proxy",
      "identity.jwt.0.issuer is at issuer.example.com",
      "telemetry.otlp.endpoint is at otel.example.com",
    ]);
  });
  it("goes by where the environment puts a provider and the record", () => {
    expect(complaints("providers: { ollama: {} }", { OLLAMA_BASE_URL: "https://gpu.example.com/v1" })).toEqual([
      "providers.ollama is at gpu.example.com",
    ]);
    expect(complaints("", { GIMBAL_DATABASE_URL: "postgres://u:p@db.example.com/x" })).toEqual([
      "offline cannot hold: GIMBAL_DATABASE_URL is at db.example.com",
    ]);
  });
});
