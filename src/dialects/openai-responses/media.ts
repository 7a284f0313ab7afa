import type { Source } from "../../canon/index.ts";

/** Where the bytes are, as this language writes it: an address or a `data:` URL; undefined for a provider's own file id. */
export function urlOf(source: Source, fallbackType: string): string | undefined {
  if (source.url !== undefined) return source.url;
  return source.data === undefined ? undefined : `data:${source.mediaType ?? fallbackType};base64,${source.data}`;
}
