import type * as library from "jose";

type Library = typeof library;
let loaded: Promise<Library> | undefined;

/** Loaded where issuers are trusted, and not before: most gateways know of none. */
export function jose(): Promise<Library> {
  return (loaded ??= import("jose"));
}
