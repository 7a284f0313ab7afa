import type { Alias, Target } from "../canon/index.ts";
import type { ConfigValues } from "./schema.ts";
import type { Path } from "./variables.ts";

type WrittenAlias = Exclude<ConfigValues["models"][string], string>;
type WrittenTarget = WrittenAlias["targets"][number];

const MS_PER_MINUTE = 60_000;

/** What reading these members asks of whoever reads the alias. */
export interface ReleaseReader {
  /** Targets whose provider is on; tells the others itself. `bare`: the one target is the value at `path`. */
  targets(written: readonly WrittenTarget[], path: Path, bare?: boolean): readonly Target[];
  /** The member is right, and yet has no effect. */
  warn(path: Path, message: string): void;
}

/** Canary, shadow and warm target of one alias; what is off because its provider is, is left out with a warning. */
export function readRelease(name: string, written: WrittenAlias, reader: ReleaseReader): Pick<Alias, "canary" | "shadow" | "warm"> {
  const { canary, shadow, warm } = written;
  const path = (...rest: Path): Path => ["models", name, ...rest];
  const one = (member: "shadow" | "warm", text: string): Target | undefined => {
    const [target] = reader.targets([text], path(member, "target"), true);
    if (!target) reader.warn(path(member), `models.${name}.${member} is off: its target is not there.`);
    return target;
  };
  const canaries = !canary
    ? []
    : canary.targets
      ? reader.targets(canary.targets, path("canary", "targets"))
      : reader.targets([canary.target ?? ""], path("canary", "target"), true);
  if (canary && canaries.length === 0) reader.warn(path("canary"), `models.${name}.canary is off: no target of it is there.`);
  const shadowed = shadow && one("shadow", shadow.target);
  const kept = warm && one("warm", warm.target);
  return {
    ...(canary && canaries.length > 0 && { canary: { targets: canaries, percent: canary.percent, sticky: canary.sticky } }),
    ...(shadow && shadowed && { shadow: { target: shadowed, share: shadow.share, concurrency: shadow.concurrency } }),
    ...(warm && kept && { warm: { target: kept, share: warm.share, coldAfterMs: warm.coldAfterMinutes * MS_PER_MINUTE } }),
  };
}
