import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Certificates of a test, made when it runs and gone with it. */
export interface Authority {
  readonly folder: string;
  /** PEM. */
  readonly ca: string;
  readonly caFile: string;
  /** Signs a certificate for a name; files lie beside, for options that take paths. */
  issue(name: string, more?: IssueOptions): Issued;
  remove(): void;
}
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}
export interface IssueOptions {
  /** `DNS:localhost,IP:127.0.0.1`; the default names both. */
  readonly names?: string;
  /** Signed for a time that is over. */
  readonly expired?: true;
  readonly passphrase?: string;
}

/** Is there a program that makes certificates? Where not, tests that need one say so and are skipped. */
export const canIssue: boolean = runs(["version"]);

function runs(args: readonly string[]): boolean {
  try {
    execFileSync("openssl", args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export function newAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), "gimbal-certificates-"));
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
  openssl("req", "-x509", ...curve, "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "3", "-subj", "/CN=Test Authority");
  const read = (file: string): string => readFileSync(join(folder, file), "utf8");
  return {
    folder,
    ca: read("ca.crt"),
    caFile: join(folder, "ca.crt"),
    issue: (name, { names = "DNS:localhost,IP:127.0.0.1", expired, passphrase } = {}) => {
      mkdirSync(join(folder, name), { recursive: true });
      const [key, csr, crt, ext] = [`${name}/key.pem`, `${name}/csr.pem`, `${name}/cert.pem`, `${name}/ext.cnf`];
      const sealed = passphrase === undefined ? ["-nodes"] : ["-passout", `pass:${passphrase}`];
      openssl("req", ...curve, ...sealed, "-keyout", key, "-out", csr, "-subj", `/CN=${name}`);
      writeFileSync(join(folder, ext), `subjectAltName=${names}\n`);
      const until = expired ? ["-days", "-1"] : ["-days", "2"];
      openssl("x509", "-req", "-in", csr, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", crt, "-extfile", ext, ...until);
      return { cert: read(crt), key: read(key), certFile: join(folder, crt), keyFile: join(folder, key) };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
