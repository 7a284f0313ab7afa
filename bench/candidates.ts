import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { has, listening, outputOf, readyPort, start } from "./processes.ts";
import type { Running } from "./processes.ts";

const ROOT = join(import.meta.dirname, "..");
/** The peer the gate compares with. Fetched into a temporary folder when the bench runs; never a dependency. */
const PEER = "@portkey-ai/gateway";

/** What the cases call; where a candidate cannot, the case is left out for it. */
export type Route = "plain" | "10k" | "stream" | "chat-to-messages" | "messages-to-chat" | "idle";

export interface Call {
  readonly path: string;
  readonly model: string;
  readonly headers: readonly string[];
}

/** Something a call can go through on its way to the mock upstream. */
export interface Candidate {
  readonly id: "direct" | "nginx" | "bare" | "wire" | "gimbal" | "workers" | "apart" | "peer";
  readonly title: string;
  readonly version: string;
  readonly port: number;
  /** Whose CPU counts; 0 for none. */
  readonly pid: number;
  call(route: Route): Call | undefined;
  stop(): Promise<void>;
}

const CHAT = "/v1/chat/completions";
const MESSAGES = "/v1/messages";
const JSON_KEY = "authorization: Bearer bench-key";

/** Paths of the mock upstream as a proxy passes them on. */
function passedOn(route: Route): Call | undefined {
  const prefix = { plain: "", "10k": "/10k", stream: "", idle: "/idle", "chat-to-messages": undefined, "messages-to-chat": undefined }[
    route
  ];
  return prefix === undefined ? undefined : { path: prefix + CHAT, model: "bench-model", headers: [JSON_KEY] };
}

export function direct(port: number): Candidate {
  return { id: "direct", title: "no proxy", version: "", port, pid: 0, call: passedOn, stop: () => Promise.resolve() };
}

async function proxy(id: "bare" | "wire", title: string, upstream: number): Promise<Candidate> {
  const child = start("subject", process.execPath, [join(import.meta.dirname, `${id}-proxy.ts`), `http://127.0.0.1:${upstream}`]);
  return { id, title, version: process.version, port: await readyPort(child), pid: child.pid, call: passedOn, stop: () => child.stop() };
}

export const bare = (upstream: number): Promise<Candidate> => proxy("bare", "bare node:http + undici", upstream);
export const wire = (upstream: number): Promise<Candidate> => proxy("wire", "Gimbal's transport alone", upstream);

export function nginxVersion(): string | undefined {
  return has("nginx") ? /nginx\/([\d.]+)/.exec(outputOf("nginx", ["-v"]) ?? "")?.[1] : undefined;
}

/** One worker, connections to the upstream kept, no log, nothing buffered. */
export async function nginx(folder: string, upstream: number): Promise<Candidate> {
  const port = await freePort();
  const home = join(folder, "nginx");
  mkdirSync(home, { recursive: true });
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${home}/${name};`).join("\n  ");
  writeFileSync(
    join(home, "nginx.conf"),
    `daemon off; worker_processes 1; pid ${home}/pid; error_log ${home}/error.log crit; worker_rlimit_nofile 20000;
events { worker_connections 18000; }
http {
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 1m;
  ${temporary}
  upstream mock { server 127.0.0.1:${upstream}; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s; }
  }
}
`,
  );
  const child = start("subject", "nginx", ["-p", home, "-c", join(home, "nginx.conf"), "-e", join(home, "error.log")]);
  await listening(port);
  return {
    id: "nginx",
    title: "nginx, one worker",
    version: nginxVersion() ?? "",
    port,
    pid: child.pid,
    call: passedOn,
    stop: () => child.stop("SIGQUIT"),
  };
}

/** The peer as its README starts it; undefined with a reason when it cannot be fetched. */
export async function peer(folder: string, upstream: number): Promise<Candidate | string> {
  const home = join(folder, "peer");
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "package.json"), '{"private":true}');
  try {
    execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", PEER], { cwd: home, stdio: "ignore" });
  } catch {
    return `${PEER} could not be fetched`;
  }
  const module = join(home, "node_modules", PEER);
  const { version } = JSON.parse(readFileSync(join(module, "package.json"), "utf8")) as { version: string };
  const port = await freePort();
  const child = start(
    "subject",
    process.execPath,
    [join(module, "build", "start-server.js"), `--port=${port}`, "--headless"],
    { NODE_ENV: "production" },
    home,
  );
  await listening(port);
  const headers = [JSON_KEY, "x-portkey-provider: openai"];
  return {
    id: "peer",
    title: PEER,
    version,
    port,
    pid: child.pid,
    call(route) {
      const prefix = route === "plain" || route === "stream" ? "" : route === "10k" ? "/10k" : undefined;
      if (prefix === undefined) return undefined;
      return { path: CHAT, model: "bench-model", headers: [...headers, `x-portkey-custom-host: http://127.0.0.1:${upstream}${prefix}/v1`] };
    },
    stop: () => child.stop("SIGKILL"),
  };
}

export function gimbalConfig(upstream: number): string {
  const chat = (prefix: string): string =>
    `{ kind: openai-compatible, baseUrl: "http://127.0.0.1:${upstream}${prefix}/v1", apiKey: bench-upstream-key, allowPrivateNetwork: true }`;
  return `version: 1
providers:
  lab: ${chat("")}
  lab10k: ${chat("/10k")}
  labidle: ${chat("/idle")}
  labclaude: { kind: anthropic, baseUrl: "http://127.0.0.1:${upstream}", apiKey: bench-upstream-key, allowPrivateNetwork: true }
models:
  plain: lab/bench-model
  large: lab10k/bench-model
  idle: labidle/bench-model
  claude: labclaude/bench-model
limits: [{ match: { key: "*" }, requests: 1000000000, per: minute }]
access: { anonymous: never }
`;
}

/** The command line, run as a user would. */
const GIMBAL = [join(ROOT, "src", "main.ts")];

export interface Gimbal extends Candidate {
  /** From starting the process to its line that says ready. */
  readonly readyMs: number;
  readonly key: string;
}

/** The gateway with a key, limits, ledger and span; the simulator is not used. `options`: more of the configuration. */
export async function gimbal(folder: string, upstream: number, more: readonly string[] = [], options = ""): Promise<Gimbal> {
  const data = join(folder, "data");
  const config = join(folder, "gimbal.yaml");
  writeFileSync(config, `${gimbalConfig(upstream)}${options}`);
  const made = execFileSync(process.execPath, [...GIMBAL, "keys", "create", "--name", "bench", "--json", "--data", data], {
    encoding: "utf8",
  });
  const { key } = JSON.parse(made) as { key: string };
  const { child, port, readyMs } = await serve(["--config", config, "--data", data, ...more]);
  const models: Readonly<Record<Route, string>> = {
    plain: "plain",
    "10k": "large",
    stream: "plain",
    idle: "idle",
    "chat-to-messages": "claude",
    "messages-to-chat": "plain",
  };
  return {
    id: "gimbal",
    title: "Gimbal",
    version: gimbalVersion(),
    port,
    pid: child.pid,
    readyMs,
    key,
    call: (route) => ({
      path: route === "messages-to-chat" ? MESSAGES : CHAT,
      model: models[route],
      headers: [`authorization: Bearer ${key}`, ...(route === "messages-to-chat" ? ["anthropic-version: 2023-06-01"] : [])],
    }),
    stop: () => child.stop(),
  };
}

/** Serves and says how long it took to be ready. */
export async function serve(args: readonly string[]): Promise<{ child: Running; port: number; readyMs: number }> {
  const began = performance.now();
  const child = start("subject", process.execPath, [...GIMBAL, "serve", "--port", "0", ...args]);
  const port = await readyPort(child);
  return { child, port, readyMs: performance.now() - began };
}

function gimbalVersion(): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  const commit = outputOf("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"]);
  return commit ? `${version} (${commit})` : version;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      const port = typeof address === "object" && address ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
