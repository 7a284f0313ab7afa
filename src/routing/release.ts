import type { Alias, Target } from "../canon/index.ts";
import type { Tie } from "./affinity.ts";
import type { CallFacts } from "./facts.ts";
import { nameOf } from "./order/index.ts";

/** Which part of an alias's traffic a call belongs to: the one that is tried out, the one that keeps a way out warm, or the rest. */
export type ArmName = "canary" | "warm" | "main";

export interface Arm {
  readonly name: ArmName;
  /** Asked before the alias's own; empty for the rest. */
  readonly targets: readonly Target[];
  /** Why, in a few words for people. */
  readonly reason: string;
}

const WHOLE = 100;
const NO_TARGETS: readonly Target[] = [];
/** Digits of a draw that people are shown. */
const SHOWN_DIGITS = 2;
const SHARE_DIGITS = 4;

/**
 * The arm of a call that no rule sent elsewhere. Drawn by hash, so that a session goes the same way in every process and after a restart,
 * and so that whoever is in a canary of 5 per cent is in it at 10.
 * @param tiedTo `provider/model` that answered what this call continues, where that is remembered
 */
export function armOf(alias: Alias, facts: CallFacts, tie: Tie | undefined, tiedTo: string | undefined): Arm {
  const { canary, warm } = alias;
  const drawn = drawerOf(alias, facts);
  // What continues an answer has no name of its own to be drawn by: it goes where the answer came from.
  const followed = drawn?.what !== "session" && canary?.sticky !== "call" && tie ? tiedTo : undefined;
  if (followed !== undefined) return following(alias, followed, tie?.what ?? "");
  if (warm && warm.share > 0) {
    if (!drawn) return undrawn(alias);
    if (drawOf(drawn, "warm") < warm.share * WHOLE) return { name: "warm", targets: [warm.target], reason: kept(warm.share) };
  }
  if (!canary) return { name: "main", targets: NO_TARGETS, reason: "none of the calls that keep the other warm" };
  const by = canary.sticky === "call" ? callDrawer(alias, facts) : drawn;
  if (!by) return undrawn(alias);
  const draw = drawOf(by, "canary");
  if (draw < canary.percent) return { name: "canary", targets: canary.targets, reason: `canary: ${canary.percent}% of the ${by.what}s` };
  return {
    name: "main",
    targets: NO_TARGETS,
    reason: `not in the canary: the ${by.what} drew ${draw.toFixed(SHOWN_DIGITS)} of 100, and those below ${canary.percent} are`,
  };
}

/** A dry run of a call without a session: which way it goes is known only when it is made. */
function undrawn({ canary, warm }: Alias): Arm {
  const shares = [
    ...(warm ? [`${percentOf(warm.share)}% go to ${nameOf(warm.target)} first`] : []),
    ...(canary
      ? [`${canary.percent}% ${warm ? "of the others " : "go "}to ${canary.targets.map(nameOf).join(", ")}${warm ? "" : " first"}`]
      : []),
  ];
  return { name: "main", targets: NO_TARGETS, reason: `each such call is drawn: ${shares.join(", ")}` };
}

interface Drawer {
  readonly what: "session" | "call";
  readonly text: string;
}

/** Scopes keep the sessions of two callers apart that happen to have the same name. */
function drawerOf(alias: Alias, facts: CallFacts): Drawer | undefined {
  const session = facts.source.session ?? (facts.source.previousId === undefined ? facts.needs.cacheKey : undefined);
  if (session === undefined) return callDrawer(alias, facts);
  return { what: "session", text: `${alias.name}\0${facts.caller.scope}\0${session}` };
}

function callDrawer(alias: Alias, facts: CallFacts): Drawer | undefined {
  const { callId } = facts.source;
  return callId === undefined ? undefined : { what: "call", text: `${alias.name}\0${callId}` };
}

function following({ canary, warm }: Alias, tiedTo: string, why: string): Arm {
  const reason = `${tiedTo} ${why}`;
  if (canary && canary.percent > 0 && canary.targets.some((target) => nameOf(target) === tiedTo))
    return { name: "canary", targets: canary.targets, reason: `canary: ${reason}` };
  if (warm && warm.share > 0 && nameOf(warm.target) === tiedTo) return { name: "warm", targets: [warm.target], reason };
  return { name: "main", targets: NO_TARGETS, reason };
}

function kept(share: number): string {
  return `kept warm with ${percentOf(share)}% of the calls`;
}

function percentOf(share: number): number {
  return Number((share * WHOLE).toPrecision(SHARE_DIGITS));
}

/** From 0 to just under 100. `purpose` keeps two draws of one text apart. */
function drawOf({ text }: Drawer, purpose: string): number {
  return fractionOf(`${purpose}\0${text}`) * WHOLE;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const MIX_A = 0x85ebca6b;
const MIX_B = 0xc2b2ae35;

/**
 * A text as a number in [0, 1), the same everywhere and spread evenly: FNV-1a (draft-eastlake-fnv, 32 bits), whose last letters would
 * otherwise hardly touch the high bits, with the finishing step of MurmurHash3.
 */
export function fractionOf(text: string): number {
  let hash = FNV_OFFSET;
  for (let place = 0; place < text.length; place++) hash = Math.imul(hash ^ text.charCodeAt(place), FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), MIX_A);
  hash = Math.imul(hash ^ (hash >>> 13), MIX_B);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
