import { isIP } from "node:net";
import { z } from "zod";
import { Secret } from "../canon/index.ts";
import { limitsOptions } from "../gateway/options.ts";

export const DEFAULT_PORT = 4100;
export const DEFAULT_HOST = "127.0.0.1";

const PEM_CHARACTERS = 1_048_576;
const MOST_PROXIES = 1000;
const pem = (meaning: string) => z.string().min(1).max(PEM_CHARACTERS).describe(`${meaning} PEM, or the path of a file that holds it.`);

const tls = z.strictObject({
  cert: pem("The certificate, with those between it and its authority."),
  key: pem("Its private key.").transform((value) => new Secret(value)),
  passphrase: z
    .string()
    .min(1)
    .max(1000)
    .transform((value) => new Secret(value))
    .optional()
    .describe("What the private key is encrypted with."),
  ca: pem("Authorities of clients' certificates, instead of the system's.").optional(),
  clientAuth: z
    .enum(["none", "request", "require"])
    .default("none")
    .describe("Must clients show a certificate, may they, or is none asked for? One that is shown must be good."),
});

/** `serve`: where and within which bounds the gateway serves. */
export const serveOptions = z
  .strictObject({
    host: z.string().min(1).default(DEFAULT_HOST).describe("Address to listen on. `--host` and `GIMBAL_HOST` win."),
    port: z
      .int()
      .min(0)
      .max(65_535)
      .default(DEFAULT_PORT)
      .describe("Port to listen on; 0 picks a free one. `--port` and `GIMBAL_PORT` win."),
    tls: tls
      .optional()
      .describe("Serves HTTPS, and HTTP/2 to who asks for it. Renewed files are taken within seconds. See docs/network.md."),
    trustedProxies: z
      .array(z.string().refine(isRange, "must be an IP address or a range such as 10.0.0.0/8"))
      .max(MOST_PROXIES)
      .optional()
      .describe("Addresses of proxies in front of the gateway, whose `X-Forwarded-For` or `Forwarded` is believed. Default: none."),
    limits: limitsOptions.describe("Bounds of the gateway."),
  })
  .prefault({});

function isRange(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return more.length === 0 && most >= 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most));
}
