import { describe, expect, it } from "vitest";
import { Secret } from "../../src/canon/index.ts";
import { readConfig } from "../../src/config/index.ts";
import { maskSecrets } from "../../src/config/secrets.ts";
import { isExcepted, networkOf } from "../../src/providers/network.ts";
import { providerOptions } from "../../src/providers/options.ts";

const OUTSIDE = "https://api.example.com/v1";

function proxyFor(proxy: string, baseUrl = OUTSIDE, env: Record<string, string> = {}): { url: string; authorization?: Secret } | undefined {
  return networkOf("lab", { proxy: new Secret(proxy), tls: undefined }, baseUrl, env).proxy;
}

describe("a provider's proxy", () => {
  it("is taken apart into an address and credentials that cannot be printed", () => {
    const proxy = proxyFor("http://me:p%40ss@proxy.test:3128");
    expect(proxy?.url).toBe("http://proxy.test:3128");
    expect(proxy?.authorization?.reveal()).toBe(`Basic ${Buffer.from("me:p@ss").toString("base64")}`);
    expect(JSON.stringify(proxy)).not.toContain("ss@");
    expect(proxyFor("https://proxy.test")).toEqual({ url: "https://proxy.test" });
  });

  it.each(["socks5://proxy.test:1080", "proxy.test:3128", "http://", "nonsense"])("%s is refused without being repeated", (text) => {
    expect(() => proxyFor(text)).toThrow(/neither http:\/\/host:port nor https:\/\/host:port/);
    expect(() => proxyFor(text)).not.toThrow(/socks5|nonsense/);
  });

  it("comes from the environment only where that is said, by the upstream's scheme", () => {
    const env = { HTTPS_PROXY: "http://a.test:1", http_proxy: "b.test:2" };
    expect(networkOf("lab", { proxy: undefined, tls: undefined }, OUTSIDE, env)).toEqual({});
    expect(proxyFor("environment", OUTSIDE, env)?.url).toBe("http://a.test:1");
    expect(proxyFor("environment", "http://api.example.com", env)?.url).toBe("http://b.test:2");
    expect(proxyFor("environment", OUTSIDE, { ALL_PROXY: "http://c.test:3" })?.url).toBe("http://c.test:3");
    expect(proxyFor("environment", OUTSIDE, {})).toBeUndefined();
    expect(proxyFor("environment", "https://localhost:8443", env)).toBeUndefined();
    expect(proxyFor("environment", OUTSIDE, { ...env, NO_PROXY: "localhost,.example.com" })).toBeUndefined();
  });

  it.each([
    ["*", true],
    ["example.com", true],
    [".example.com", true],
    ["*.example.com", true],
    ["api.example.com:443", true],
    ["api.example.com:444", false],
    ["ample.com", false],
    ["api.example.com.evil.test", false],
    ["other.test, EXAMPLE.com", true],
    ["", false],
    [":443", false],
  ])("NO_PROXY=%s excepts api.example.com: %s", (list, excepted) => {
    expect(isExcepted(new URL(OUTSIDE), list)).toBe(excepted);
  });

  it.each([
    ["10.0.0.0/8", "https://10.1.2.3", true],
    ["10.0.0.0/8", "https://11.1.2.3", false],
    ["10.1.2.3", "https://10.1.2.3:8443", true],
    ["10.1.2.3/99", "https://10.1.2.3", false],
    ["0.1.2.3", "https://10.1.2.3", false],
    ["[fd00::]/8", "https://10.1.2.3", false],
    ["[fd00::1]:443", "https://[fd00::1]", true],
  ])("NO_PROXY=%s excepts %s: %s", (list, url, excepted) => {
    expect(isExcepted(new URL(url), list)).toBe(excepted);
  });
});

describe("the options", () => {
  it("that are written out in the file are warned of and masked; addresses and paths are not", () => {
    const text = `version: 1
providers:
  lab:
    kind: openai
    proxy: http://me:hush-hush@proxy.test:3128
    tls: { cert: c.pem, key: "-----BEGIN PRIVATE KEY-----", passphrase: hush-hush-hush }
  open: { kind: openai, proxy: "http://proxy.test:3128", tls: { cert: /etc/c.pem, key: /etc/gimbal/k.pem } }
`;
    const read = readConfig(text, {});
    expect(read.ok && read.warnings.map(({ message }) => /\$\{(\w+)\}/.exec(message)?.[1])).toEqual([
      "LAB_PROXY",
      "LAB_TLS_KEY",
      "LAB_TLS_PASSPHRASE",
    ]);
    expect(maskSecrets(text)).not.toMatch(/hush|BEGIN/);
    expect(maskSecrets(text)).toContain('"http://proxy.test:3128"');
  });

  it("keep keys and proxies in the type that cannot be printed", () => {
    const options = providerOptions.parse({ proxy: "http://me:hush@p.test:1", tls: { cert: "c", key: "hush-key", passphrase: "hush" } });
    expect(JSON.stringify(options)).not.toContain("hush");
  });

  it("want certificate and key together, and a name where a name belongs", () => {
    expect(providerOptions.safeParse({ tls: { cert: "c" } }).error?.issues[0]?.message).toContain("belong together");
    expect(providerOptions.safeParse({ tls: { servername: "a b" } }).success).toBe(false);
    expect(providerOptions.safeParse({ tls: { verify: false } }).success).toBe(false);
  });
});
