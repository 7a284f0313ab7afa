import type { Caller, Match } from "../../canon/index.ts";

/** What of a call budgets and limits look at. */
export interface Subject {
  readonly caller: Caller;
  /** As the caller named it. */
  readonly model: string;
  readonly session: string | undefined;
  readonly agent: string | undefined;
  readonly turn: string | undefined;
  /** Where an attempt goes; undefined before there is one. */
  readonly provider?: string | undefined;
}

type Member = keyof Match;

/** In this order everywhere, so that the same call finds its counters in the same order. */
export const MEMBERS = ["key", "team", "project", "tag", "session", "agent", "turn", "model", "provider"] as const satisfies Member[];

/** What a caller names for itself: the same name of another caller is something else. */
const CALLERS_OWN: ReadonlySet<Member> = new Set<Member>(["session", "agent", "turn"]);

/** Names that only the call itself shows; all others are the same for every call of a caller to a model. */
const OF_CALL: readonly Member[] = ["session", "agent", "turn", "provider"];

/** Does who is meant depend on more than caller and model? */
export function isOfCall(match: Match): boolean {
  return OF_CALL.some((member) => match[member] !== undefined);
}

const NOBODY: readonly string[] = [];
const EVERYBODY: readonly string[] = [""];

/** The counters that a call belongs to, by what is behind each `*`; none when it does not match. Several where it has several tags. */
export function subjectsOf(match: Match, subject: Subject): readonly string[] {
  let found = EVERYBODY;
  for (const member of MEMBERS) {
    const pattern = match[member];
    if (pattern === undefined) continue;
    const names = namesOf(member, subject);
    const fitting =
      pattern === "*"
        ? names.slice(0, member === "tag" ? names.length : 1)
        : names.some((name) => fits(pattern, name))
          ? EVERYBODY
          : NOBODY;
    if (fitting.length === 0) return NOBODY;
    if (pattern !== "*") continue;
    const own = CALLERS_OWN.has(member) ? `${subject.caller.scope}/` : "";
    found = found.flatMap((before) => fitting.map((name) => `${before}${before === "" ? "" : " "}${member}=${own}${name}`));
  }
  return found;
}

function fits(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

/** For `*` the first of them stands for the subject; a name may be any of them. */
function namesOf(member: Member, { caller, model, session, agent, turn, provider }: Subject): readonly string[] {
  switch (member) {
    case "key":
      // By its id: a name may be given twice.
      return [caller.id, caller.name];
    case "team":
      return named(caller.team);
    case "project":
      return named(caller.project);
    case "tag":
      return caller.tags ?? NOBODY;
    case "session":
      return named(session);
    case "agent":
      return named(agent);
    case "turn":
      return named(turn);
    case "model":
      return named(model);
    case "provider":
      return named(provider);
  }
}

function named(name: string | undefined): readonly string[] {
  return name === undefined || name === "" ? NOBODY : [name];
}

/** `team=search, model=*`; `everything` for no match at all. */
export function describeMatch(match: Match): string {
  const parts = MEMBERS.flatMap((member) => (match[member] === undefined ? [] : [`${member} ${match[member]}`]));
  return parts.length === 0 ? "all calls" : parts.join(", ");
}
