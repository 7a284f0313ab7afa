import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { demoServer } from "./demo.ts";

process.stderr.write("ready\u001b[31m\u202ered\n");
serveStdio(demoServer);
