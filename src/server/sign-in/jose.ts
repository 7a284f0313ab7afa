type Library = typeof import("jose");
let loaded: Promise<Library> | undefined;

/** Loaded where issuers are trusted, and not before: most gateways know of none. */
export function jose(): Promise<Library> {
  return (loaded ??= import("jose"));
}
