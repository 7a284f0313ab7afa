import type { GatewayDeps } from "../gateway/run.ts";

/** The page at `/`: that the gateway is up, and the first call to make. The dashboard will take its place. */
export function welcomePage(gateway: GatewayDeps, host: string): string {
  const snapshot = gateway.snapshot();
  const models = [...snapshot.aliases.keys()].map((name) => `<li><code>${escape(name)}</code></li>`).join("");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gimbal</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}pre{overflow:auto;padding:1rem;border:1px solid #8886;border-radius:6px}</style>
<h1>Gimbal is running</h1>
<p>Configuration version ${snapshot.version}. ${gateway.live.running} calls are running.</p>
<p>Make a first call, with no key at all:</p>
<pre>curl -s http://${escape(host)}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{"model":"sim/echo","messages":[{"role":"user","content":"hello"}]}'</pre>
<p>Models:</p>
<ul>${models}</ul>
</html>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
