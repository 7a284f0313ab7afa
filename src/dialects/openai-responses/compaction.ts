/**
 * The gateway's own compaction. Its clients may not look inside a compaction item, so the summary travels in `encrypted_content` as an
 * opaque token; it is no secret (the client's own conversation is its content), only marked as ours.
 */
const PREFIX = "gk1.";

/** The token that carries a readable summary. */
export function sealSummary(text: string): string {
  return PREFIX + Buffer.from(text, "utf8").toString("base64url");
}

/** The summary inside a token of ours; undefined for a provider's own. */
export function openSummary(token: string): string | undefined {
  if (!token.startsWith(PREFIX)) return undefined;
  const body = token.slice(PREFIX.length);
  if (!/^[A-Za-z0-9_-]*$/.test(body)) return undefined;
  return Buffer.from(body, "base64url").toString("utf8");
}

/** How a summary is put before a model that knows no compaction items. */
export function summaryAsText(summary: string): string {
  return `Summary of the conversation so far:\n\n${summary}`;
}
