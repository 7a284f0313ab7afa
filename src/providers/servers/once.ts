import type { Clock, Provider, ServedModel, ServerReport } from "../../canon/index.ts";

/** Asks every server that tells of itself once, all at the same time, for whoever has no gateway that watches them. */
export class AskedOnce {
  version = 0;
  readonly #told = new Map<string, { readonly provider: Provider; readonly report: ServerReport }>();

  /** @param limitMs longest wait; what has not answered by then is not known */
  async ask(providers: ReadonlyMap<string, Provider>, clock: Clock, limitMs: number): Promise<void> {
    const limit = new AbortController();
    const stopTimer = clock.after(limitMs, () => limit.abort());
    await Promise.all(
      [...providers].map(async ([name, provider]) => {
        const report = await provider.server?.survey("models", limit.signal);
        if (report) this.#told.set(name, { provider, report });
      }),
    );
    stopTimer();
    this.version++;
  }

  facts(provider: string, model: string): ServedModel | undefined {
    const told = this.#told.get(provider);
    if (!told?.report.models) return undefined;
    const { models, anyName } = told.report;
    const listedAs = told.provider.server?.listedAs ?? ((name: string) => name);
    const name = listedAs(model);
    return models.find((served) => listedAs(served.name) === name) ?? (anyName ? models[0] : undefined);
  }
}
