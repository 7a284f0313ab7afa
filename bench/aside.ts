import { setAside } from "../src/gateway/lineage.ts";
import type { GatewayDeps, Run } from "../src/gateway/run.ts";
import { dialects } from "../src/dialects/registry.generated.ts";
import { systemClock, SystemRandomness } from "../src/kit/index.ts";
import { Aside } from "../src/ledger/aside/index.ts";

/**
 * What recording lineage and stored words costs the thread that serves: `node bench/aside.ts`. CPU of this thread alone, a call, from the
 * settled call to its batch having left; the work itself is another thread's.
 */
const CALLS = 64;
const ROUNDS = 200;
const WARM_ROUNDS = 50;

const dialect = dialects.get("openai-chat");
if (!dialect) throw new Error("there is no language openai-chat");

function runOf(words: number, frames: readonly Buffer[] | undefined): Run {
  const text = JSON.stringify({ model: "fast", messages: [{ role: "user", content: "w".repeat(words) }] });
  const answer = {
    id: "c",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: "a".repeat(words) }, finish_reason: "stop" }],
  };
  const whole = frames ? undefined : Buffer.from(JSON.stringify(answer));
  const headers = {
    host: "h",
    "user-agent": "u",
    accept: "*/*",
    "content-type": "application/json",
    authorization: "Bearer x",
    "content-length": "1000",
    connection: "keep-alive",
  };
  return {
    live: {
      id: "call_01m7zwjk3dravhez85z2t7",
      startedAt: 1_795_292_744_813,
      answerId: "chatcmpl-1",
      told: () => ({ first: 1, frames: frames ?? [], whole }),
    },
    request: { dialect, door: { does: { operation: "generate" } }, headers, params: {} },
    snapshot: { lineage: true, aliases: new Map() },
    caller: { id: "key_1" },
    target: { provider: "lab", model: "m" },
    document: { text },
    wishes: {},
    model: "fast",
    forwarded: true,
  } as unknown as Run;
}

async function measure(name: string, run: Run): Promise<void> {
  const clock = systemClock;
  const aside = new Aside({
    clock,
    lineage: { keepPacked: () => Promise.resolve() },
    content: { keep: () => Promise.resolve() },
    log: () => {},
    report: (error) => console.error(error),
  });
  const deps = { aside, randomness: new SystemRandomness(), report: () => {} } as unknown as GatewayDeps;
  const rounds: number[] = [];
  for (let round = -WARM_ROUNDS; round < ROUNDS; round++) {
    const before = process.threadCpuUsage();
    for (let call = 0; call < CALLS; call++) setAside(deps, run);
    await aside.flush();
    const { user, system } = process.threadCpuUsage(before);
    if (round >= 0) rounds.push((user + system) / CALLS);
  }
  const { records, full, hung } = aside.counts;
  const sorted = rounds.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor(share * ROUNDS)] ?? 0).toFixed(2);
  console.log(
    `${name}: ${at(0.1)} µs a call in the best tenth of rounds, ${at(0.5)} in the middle one (${records} recorded, ${full + hung} lost)`,
  );
  await aside.close();
}

const frame = Buffer.from(
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta: { content: "some words" }, finish_reason: null }] })}\n\n`,
);
await measure("1 kB asked, 1 kB answered", runOf(1000, undefined));
await measure("10 kB asked, 10 kB answered", runOf(10_000, undefined));
await measure(
  "1 kB asked, 100 frames answered",
  runOf(
    1000,
    Array.from({ length: 100 }, () => frame),
  ),
);
