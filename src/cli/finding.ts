/** What the doctor found out about one thing. */
export interface Finding {
  readonly check: string;
  /** A `failure` keeps the gateway from serving; a `warning` does not. */
  readonly status: "ok" | "warning" | "failure";
  readonly detail: string;
  /** What to do about it. */
  readonly remedy?: string;
}

export function ok(check: string, detail: string): Finding {
  return { check, status: "ok", detail };
}
export function warning(check: string, detail: string, remedy: string): Finding {
  return { check, status: "warning", detail, remedy };
}
export function failure(check: string, detail: string, remedy: string): Finding {
  return { check, status: "failure", detail, remedy };
}
