import { execFileSync } from "node:child_process";
import { request } from "node:http";

/** Process ids of a gateway's workers. */
export function workersOf(primary: number): readonly number[] {
  const found = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  return found
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([pid = 0, parent]) => (parent === primary && pid > 0 ? [pid] : []));
}

export interface Sent {
  readonly status: number;
  readonly problem: string | undefined;
  readonly text: string;
}

/** A connection that is handed to a worker in the moment of its death is never answered. */
const PATIENCE_MS = 5000;

/** One request over a connection of its own: fresh connections are dealt out to workers in turn. */
export function sendAlone(
  url: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
  patienceMs = PATIENCE_MS,
): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}${path}`,
      { method: body ? "POST" : "GET", headers: { "content-type": "application/json", ...headers }, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, problem: response.headers["x-gimbal-problem"]?.toString(), text }),
        );
      },
    );
    sent.setTimeout(patienceMs, () => sent.destroy(new Error("nobody answers")));
    sent.on("error", reject);
    sent.end(body && JSON.stringify(body));
  });
}
