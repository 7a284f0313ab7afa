import { REPORT_STAGES, REPORT_SUMS } from "../../canon/index.ts";
import type { SpendLine, SpendReport } from "../reports/index.ts";
import type { Column } from "./table.ts";

const PERCENTILES = ["p50", "p90", "p99"] as const;

/** A report's lines as columns: its labels, its sums as whole numbers (money in nanodollars), and percentiles where it has them. */
export function spendColumns({ by, lines }: Pick<SpendReport, "by" | "lines">): readonly Column<SpendLine>[] {
  const hasLatency = lines.some(({ latency }) => latency !== undefined);
  return [
    ...by.map((name): Column<SpendLine> => ({ name, type: "text", of: ({ labels }) => labels[name] })),
    ...REPORT_SUMS.map((name): Column<SpendLine> => ({ name, type: "int64", of: ({ sums }) => sums[name] })),
    ...(hasLatency ? REPORT_STAGES : []).flatMap((stage) =>
      PERCENTILES.map((name): Column<SpendLine> => ({
        name: `${stage}_${name}_ms`,
        type: "double",
        of: ({ latency }) => latency?.[stage]?.[name],
      })),
    ),
  ];
}
