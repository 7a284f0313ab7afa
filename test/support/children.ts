/**
 * The environment of a child that is to know nothing of this machine but where programs lie, and where Node keeps what it has compiled:
 * with that a gateway starts in a third of the time.
 */
export const BARE_ENV: Readonly<Record<string, string>> = Object.fromEntries(
  ["PATH", "NODE_COMPILE_CACHE"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }),
);
