import type { Json, JsonObject, RedactRule, Redactor } from "../../canon/index.ts";
import { parsePath, type PathStep } from "./path.ts";

type Change = (text: string) => string;

/** The rules of a policy, ready for use. Every text of a value is looked at, keys are not. Throws for a rule that cannot be read. */
export function redactorOf(rules: readonly RedactRule[]): Redactor {
  return {
    redact(value) {
      const struck: Record<string, number> = {};
      let redacted = value;
      for (const rule of rules) {
        const hit = (): string => {
          struck[rule.name] = (struck[rule.name] ?? 0) + 1;
          return rule.with;
        };
        redacted =
          "path" in rule
            ? atPath(redacted, parsePath(rule.path), hit)
            : inTexts(redacted, patternChange(new RegExp(rule.pattern, globally(rule.flags)), hit));
      }
      return { value: redacted, struck };
    },
  };
}

function globally(flags: string): string {
  return flags.includes("g") ? flags : `${flags}g`;
}

/** A replacement is taken as it is written: `$&` in it would bring back what was taken out. */
function patternChange(pattern: RegExp, hit: () => string): Change {
  return (text) => text.replace(pattern, hit);
}

function inTexts(value: Json, change: Change): Json {
  if (typeof value === "string") return change(value);
  if (typeof value !== "object" || value === null) return value;
  if (isList(value)) return value.map((member) => inTexts(member, change));
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) => (member === undefined ? [] : [[key, inTexts(member, change)] as const])),
  );
}

function atPath(value: Json, steps: readonly PathStep[], hit: () => string): Json {
  const [step, ...rest] = steps;
  if (!step) return hit();
  if (typeof value !== "object" || value === null) return value;
  const inside = (key: string | number, member: Json): Json => {
    const deeper = step.deep ? atPath(member, steps, hit) : member;
    return step.name === "*" || step.name === key ? atPath(deeper, rest, hit) : deeper;
  };
  if (isList(value)) return value.map((member, place) => inside(place, member));
  const object: JsonObject = value;
  return Object.fromEntries(
    Object.entries(object).flatMap(([key, member]) => (member === undefined ? [] : [[key, inside(key, member)] as const])),
  );
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
