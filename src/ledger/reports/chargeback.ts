import { formatDollars, type ReportStore } from "../../canon/index.ts";
import { spendReport, type SpendQuery } from "./spend.ts";

/** Who pays how much. */
export interface ChargebackLine {
  readonly name: string;
  readonly calls: number;
  /** What its own calls cost. */
  readonly ownUsd: string;
  /** Its part of what belongs to nobody. */
  readonly shareUsd: string;
  readonly usd: string;
  readonly ownNanodollars: string;
  readonly shareNanodollars: string;
  readonly nanodollars: string;
}

export interface Chargeback {
  readonly by: "team" | "project";
  readonly lines: readonly ChargebackLine[];
  /** What calls without a team or project cost; spread over the lines by what their own calls cost. */
  readonly unassignedUsd: string;
  /** Calls whose cost nobody knows, and nobody is charged for. */
  readonly unknownCosts: number;
  readonly usd: string;
}

/**
 * What each team or project pays for a time. What belongs to nobody is spread in proportion to what each spent itself, and what rounding
 * leaves goes to the largest: the lines add up to what was spent, to the nanodollar. Where nobody spent anything it stays with nobody.
 */
export async function chargeback(
  store: Pick<ReportStore, "lines">,
  by: "team" | "project",
  query: Pick<SpendQuery, "from" | "until" | "timeZone">,
): Promise<Chargeback> {
  const { lines } = await spendReport(store, { ...query, by: [by] });
  const costOf = (wanted: (name: string) => boolean): bigint =>
    lines.filter(({ labels }) => wanted(labels[by] ?? "")).reduce((sum, { sums }) => sum + BigInt(sums.costNanodollars), 0n);
  const own = costOf((name) => name !== "");
  const unassigned = costOf((name) => name === "");
  const named = lines.filter(({ labels }) => labels[by] !== "");
  const shares = named.map(({ sums }) => (own === 0n ? 0n : (unassigned * BigInt(sums.costNanodollars)) / own));
  const left = own === 0n ? 0n : unassigned - shares.reduce((sum, share) => sum + share, 0n);
  return {
    by,
    lines: named.map(({ labels, sums }, place): ChargebackLine => {
      const cost = BigInt(sums.costNanodollars);
      // Lines are sorted by what they cost.
      const share = (shares[place] ?? 0n) + (place === 0 ? left : 0n);
      const written = (name: "own" | "share", amount: bigint): object => ({
        [`${name}Usd`]: formatDollars(amount),
        [`${name}Nanodollars`]: String(amount),
      });
      return {
        name: labels[by] ?? "",
        calls: sums.calls,
        ...(written("own", cost) as Pick<ChargebackLine, "ownUsd" | "ownNanodollars">),
        ...(written("share", share) as Pick<ChargebackLine, "shareUsd" | "shareNanodollars">),
        usd: formatDollars(cost + share),
        nanodollars: String(cost + share),
      };
    }),
    unassignedUsd: formatDollars(unassigned),
    unknownCosts: lines.reduce((sum, line) => sum + line.sums.unknownCosts, 0),
    usd: formatDollars(own + unassigned),
  };
}
