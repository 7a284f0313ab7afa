import { invalid, type FileLanguage, type Json, type KeptFile } from "../../canon/index.ts";

/** Source: the `openai` package's types (7.57), `resources/files`. Those that the API makes itself are left out. */
const PURPOSES = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"];
const SECOND_MS = 1000;
/** The bounds of `expires_after[seconds]`: an hour to 30 days. */
const SHORTEST_SECONDS = 3600;
const LONGEST_SECONDS = 2_592_000;

/** The Files API: whatever clients of this house's languages keep for later. */
export const files: FileLanguage = {
  prefix: "file-",
  doors: [
    { method: "POST", path: "/v1/files", does: "upload" },
    { method: "GET", path: "/v1/files", does: "list" },
    { method: "GET", path: "/v1/files/{id}", does: "read" },
    { method: "GET", path: "/v1/files/{id}/content", does: "content" },
    { method: "DELETE", path: "/v1/files/{id}", does: "delete" },
  ],
  decode(fields) {
    const purpose = fields["purpose"] ?? "";
    if (!PURPOSES.includes(purpose)) throw invalid(`purpose must be one of ${PURPOSES.join(", ")}.`, "purpose");
    const anchor = fields["expires_after[anchor]"];
    const given = fields["expires_after[seconds]"];
    if (anchor === undefined && given === undefined) return { purpose };
    if (anchor !== "created_at") throw invalid("expires_after[anchor] must be created_at.", "expires_after");
    const seconds = /^\d{1,10}$/.test(given ?? "") ? Number(given) : 0;
    if (seconds < SHORTEST_SECONDS || seconds > LONGEST_SECONDS)
      throw invalid(`expires_after[seconds] must be ${SHORTEST_SECONDS} to ${LONGEST_SECONDS}.`, "expires_after");
    return { purpose, lifeMs: seconds * SECOND_MS };
  },
  encode,
  encodePage: ({ entries, more }) => ({
    object: "list",
    data: entries.map(encode),
    has_more: more,
    first_id: entries[0]?.id ?? null,
    last_id: entries.at(-1)?.id ?? null,
  }),
  encodeDeleted: (id) => ({ id, object: "file", deleted: true }),
};

function encode({ id, name, purpose, bytes, createdAt, expiresAt }: KeptFile): Json {
  return {
    id,
    object: "file",
    bytes,
    created_at: unixSeconds(createdAt),
    expires_at: unixSeconds(expiresAt),
    filename: name,
    purpose,
    status: "processed",
  };
}

export function unixSeconds(ms: number): number {
  return Math.floor(ms / SECOND_MS);
}
