// What the conformance tool starts as "the client": it only says which scenario runs where, and waits until the gateway has been through it.
import { env, exit, argv, stderr } from "node:process";

const told = {
  url: argv.at(-1),
  scenario: env["MCP_CONFORMANCE_SCENARIO"],
  context: JSON.parse(env["MCP_CONFORMANCE_CONTEXT"] ?? "{}") as unknown,
  revision: env["MCP_CONFORMANCE_PROTOCOL_VERSION"],
};
const response = await fetch(env["GIMBAL_MCP_DRIVER"] ?? "", { method: "POST", body: JSON.stringify(told) });
stderr.write(await response.text());
exit(response.ok ? 0 : 1);
