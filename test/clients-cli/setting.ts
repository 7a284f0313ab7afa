import { mkdtemp, mkdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPair, type GatewayPair } from "../support/gateway.ts";
import { fetchAgent, type AgentRelease, type FetchedAgent } from "./fetch-agent.ts";
import { startTripwire, type Tripwire } from "./tripwire.ts";

/** What the simulated model lets the agent run: it prints, and leaves a proof that does not depend on what the agent reports. */
export const COMMAND = "echo gimbal-ok | tee proof.txt";

/** One agent, fetched, with two gateways to talk to and nowhere else to go. */
export interface Setting {
  readonly agent: FetchedAgent;
  readonly pair: GatewayPair;
  readonly tripwire: Tripwire;
  /** A new home and an empty project for one run. */
  workplace(): Promise<Workplace>;
  close(): Promise<void>;
}

export interface Workplace {
  readonly home: string;
  readonly project: string;
  /** What the tool wrote; undefined when it never ran. */
  proof(): Promise<string | undefined>;
}

export async function openSetting(release: AgentRelease, config: string): Promise<Setting> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-agent-"));
  const agent = await fetchAgent(release, join(folder, "release"));
  if (!agent.ok) process.stderr.write(`${agent.reason}\n`);
  const pair = await startPair({ config });
  const tripwire = await startTripwire();
  let count = 0;
  return {
    agent,
    pair,
    tripwire,
    workplace: async () => {
      const home = join(folder, `home-${++count}`);
      const project = join(folder, `project-${count}`);
      await mkdir(home, { recursive: true });
      await mkdir(project, { recursive: true });
      return { home, project, proof: () => readFile(join(project, "proof.txt"), "utf8").catch(() => undefined) };
    },
    close: async () => {
      await tripwire.close();
      await pair.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** On a machine without network there is nothing to test; where tests count, that is a failure. */
export function fetchedOrSkip(agent: FetchedAgent, skip: (note: string) => never): string {
  if (agent.ok) return agent.binary;
  if (process.env["CI"]) throw new Error(agent.reason);
  return skip(agent.reason);
}
