import type { z } from "zod";
import { nearest } from "../kit/index.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import type { Path } from "./variables.ts";

type Issue = z.core.$ZodIssue;

/** Validation failures in words a person can act on, each with its place in the text. */
export function describeIssues(issues: readonly Issue[], document: ConfigDocument, schema: z.ZodType): ConfigProblem[] {
  return issues.flatMap((issue) => describe(issue, [], document, schema));
}

function describe(issue: Issue, base: Path, document: ConfigDocument, schema: z.ZodType): ConfigProblem[] {
  const path = [...base, ...issue.path.map((part) => (typeof part === "symbol" ? String(part) : part))];
  const where = path.length > 0 ? `${path.join(".")}: ` : "";
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, path);
    return issue.keys.map((key) => {
      const like = nearest(key, known);
      const hint = like ? ` Did you mean "${like}"?` : known.length > 0 ? ` Known here: ${known.join(", ")}.` : "";
      return document.problem([...path, key], `${where}Unknown key "${key}".${hint}`, true);
    });
  }
  if (issue.code === "invalid_union") {
    const branch = likeliestBranch(issue.errors);
    if (branch) return branch.flatMap((inner) => describe(inner, path, document, schema));
  }
  return [document.problem(path, `${where}${sentence(issue)}`)];
}

/** Of a union's branches the one that fits the value's type, so that the complaint is about what the person tried to write. */
function likeliestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  return branches.find(
    (issues) =>
      issues.length > 0 &&
      !issues.some((issue) => issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value")),
  );
}

function sentence(issue: Issue): string {
  const message = issue.message.replace(/^Invalid input: /, "");
  const capital = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** Keys that the schema knows at a path; unions offer the keys of all their branches. */
function keysAt(schema: unknown, path: Path): string[] {
  let level = objectsIn(schema);
  for (const segment of path) level = level.flatMap((object) => objectsIn(object.member(String(segment))));
  return [...new Set(level.flatMap((object) => object.keys))];
}

interface Level {
  readonly keys: readonly string[];
  member(key: string): unknown;
}

/** The mappings and lists a schema stands for, through defaults, optionals, unions and transformations. */
function objectsIn(schema: unknown): Level[] {
  const definition = (schema as { def?: Record<string, unknown> } | undefined)?.def;
  if (!definition) return [];
  switch (definition["type"]) {
    case "object": {
      const shape = definition["shape"] as Record<string, unknown>;
      return [{ keys: Object.keys(shape), member: (key) => shape[key] }];
    }
    case "record":
      return [{ keys: [], member: () => definition["valueType"] }];
    case "array":
      return [{ keys: [], member: () => definition["element"] }];
    case "union":
      return (definition["options"] as unknown[]).flatMap(objectsIn);
    case "intersection":
      return [definition["left"], definition["right"]].flatMap(objectsIn);
    case "pipe":
      // A preprocessing step has its schema behind it, a transformation in front of it.
      return [definition["out"], definition["in"]].flatMap(objectsIn);
    default:
      return objectsIn(definition["innerType"]);
  }
}
