/** Width and height in pixels; undefined: it is no size, such as `auto`. */
export function sidesOf(size: string | undefined): { readonly width: number; readonly height: number } | undefined {
  const match = size === undefined ? null : /^(\d{2,5})x(\d{2,5})$/.exec(size);
  const [width, height] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
  return width > 0 && height > 0 ? { width, height } : undefined;
}

/** Width over height of `16:9`; undefined: it is none. */
export function ratioOf(aspect: string | undefined): number | undefined {
  const match = aspect === undefined ? null : /^(\d{1,3}(?:\.\d{1,2})?):(\d{1,3}(?:\.\d{1,2})?)$/.exec(aspect);
  const ratio = match ? Number(match[1]) / Number(match[2]) : Number.NaN;
  return Number.isFinite(ratio) && ratio > 0 ? ratio : undefined;
}

/** Shapes that differ by less than this are told to be the same. */
const SAME = 0.01;

/** The one of some shapes that is nearest to a ratio of width to height, and whether it is just that. */
export function nearestShape<T>(
  ratio: number,
  shapes: readonly T[],
  ratioOfShape: (shape: T) => number,
): { readonly shape: T; readonly exact: boolean } | undefined {
  let best: { shape: T; off: number } | undefined;
  for (const shape of shapes) {
    // Twice as wide is as far off as twice as high.
    const off = Math.abs(Math.log(ratioOfShape(shape) / ratio));
    if (!best || off < best.off) best = { shape, off };
  }
  return best && { shape: best.shape, exact: best.off < SAME };
}

/** The type of an image by its first bytes; undefined: none that is known (PNG, JPEG, GIF, WebP specifications). */
export function imageType(base64: string): "image/png" | "image/jpeg" | "image/gif" | "image/webp" | undefined {
  const head = Buffer.from(base64.slice(0, 24), "base64").toString("latin1");
  if (head.startsWith("\x89PNG")) return "image/png";
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (head.startsWith("GIF8")) return "image/gif";
  return head.startsWith("RIFF") && head.slice(8, 12) === "WEBP" ? "image/webp" : undefined;
}

/** `data:image/png;base64,...` in its two halves; undefined: it is an address, or no base64. */
export function dataUrl(url: string): { readonly contentType: string; readonly base64: string } | undefined {
  const match = /^data:([a-z]+\/[a-z0-9.+-]+);base64,/i.exec(url.slice(0, 200));
  return match?.[1] === undefined ? undefined : { contentType: match[1], base64: url.slice(match[0].length) };
}
