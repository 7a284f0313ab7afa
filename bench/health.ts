import { SeededRandomness, systemClock } from "../src/kit/index.ts";
import { Health, type HealthSubjects } from "../src/routing/health/index.ts";
import { healthOptions } from "../src/routing/health/options.ts";

/**
 * Nanoseconds of health's part in a call: `node bench/health.ts [calls]`. One call asks the view about three targets, as the planner
 * does, enters one of them and leaves it, among `RUNNING` others.
 */
const calls = Number(process.argv[2] ?? 400_000);
const ROUNDS = 5;
const RUNNING = 64;
const TARGETS = ["a", "b", "c"].map((model) => ({ provider: "lab", model, weight: 1 }));
const first = { provider: "lab", model: "a" };

const LAYOUTS: Readonly<Record<string, HealthSubjects>> = {
  "no key": subjects([]),
  "one key": subjects(["lab#1"]),
  "ten keys": subjects(Array.from({ length: 10 }, (_, at) => `lab#${at + 1}`)),
};

function subjects(keys: readonly string[]): HealthSubjects {
  const credentials = keys.map((id) => ({ id, weight: 1 }));
  return {
    providers: new Map([["lab", { credentials, capacity: { concurrency: 100_000 } }]]),
    aliases: new Map([["fast", { targets: TARGETS }]]),
  };
}

function healthOf(layout: HealthSubjects): Health {
  const health = new Health({ clock: systemClock, randomness: new SeededRandomness(1), options: healthOptions.parse({}) });
  health.configure(layout);
  for (const target of TARGETS) {
    const entered = health.enter(target);
    if (entered.state === "in") entered.leave();
  }
  return health;
}

/** CPU nanoseconds of one turn of `work`, best of some rounds: others use the machine too. */
function measure(work: (turn: number) => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let turn = 0; turn < calls; turn++) work(turn);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, ((user + system) * 1000) / calls);
  }
  return best;
}

for (const [name, layout] of Object.entries(LAYOUTS)) {
  const health = healthOf(layout);
  const running = Array.from({ length: RUNNING }, () => health.enter(first));
  const view = measure(() => {
    for (const { provider, model } of TARGETS) {
      if (health.blocked(provider, model) !== undefined || health.latency(provider, model) === undefined) throw new Error("not well");
    }
  });
  const whole = measure((turn) => {
    const entered = health.enter(first);
    const place = turn % RUNNING;
    const old = running[place];
    if (entered.state !== "in" || old?.state !== "in") throw new Error("not let in");
    running[place] = entered;
    entered.started();
    old.leave(undefined, 100);
  });
  process.stdout.write(
    `${name.padEnd(10)} view of three ${view.toFixed(0).padStart(5)} ns   enter, started, leave ${whole.toFixed(0).padStart(5)} ns\n`,
  );
}
