import {
  invalid,
  ProblemError,
  type Caller,
  type Clock,
  type FileLanguage,
  type FileStore,
  type KeptFile,
  type Page,
  type PageQuery,
  type Randomness,
} from "../canon/index.ts";
import { boundaryOf, partText, readForm, type FormPart } from "../kit/index.ts";
import type { FilesOptions } from "./options.ts";
import { PieceWriter, piecesOf } from "./pieces.ts";

const DAY_MS = 86_400_000;
/** Beside the file itself: boundaries, headers and the other fields. */
const FORM_BYTES = 64 * 1024;
const NAME_CHARACTERS = 255;
/** Milliseconds after which an upload may be tried again. */
const BUSY_RETRY_MS = 2000;

export interface FilesDeps {
  readonly store: FileStore;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly options: () => FilesOptions;
}

/** Files that callers keep here: each sees its own only. */
export class Files {
  readonly #deps: FilesDeps;
  #uploading = 0;

  constructor(deps: FilesDeps) {
    this.#deps = deps;
  }

  /**
   * A file from a form with the fields `file` and whatever the language asks for beside it.
   * @throws ProblemError invalid_request, too_large, overloaded
   */
  async upload(
    language: FileLanguage,
    caller: Caller,
    contentType: string | undefined,
    readBody: (maxBytes: number) => Promise<Buffer>,
  ): Promise<KeptFile> {
    const boundary = boundaryOf(contentType ?? "");
    if (boundary === undefined) throw invalid("A file comes as a form: multipart/form-data with a boundary.");
    const { maxBytes, uploads } = this.#deps.options();
    if (this.#uploading >= uploads)
      throw new ProblemError({
        kind: "overloaded",
        message: `More than ${uploads} files are being uploaded.`,
        retryAfterMs: BUSY_RETRY_MS,
      });
    this.#uploading++;
    try {
      const body = await readBody(maxBytes + FORM_BYTES);
      const { fields, file } = readUpload(body, boundary);
      const { purpose, lifeMs } = language.decode(fields);
      const content = body.subarray(file.start, file.end);
      if (content.length > maxBytes) throw new ProblemError({ kind: "too_large", message: `The file is larger than ${maxBytes} bytes.` });
      return await this.#keep(language, caller, { name: plainName(file.fileName), purpose, lifeMs }, content);
    } finally {
      this.#uploading--;
    }
  }

  async #keep(
    { prefix }: FileLanguage,
    { scope }: Caller,
    { name, purpose, lifeMs }: { readonly name: string; readonly purpose: string; readonly lifeMs: number | undefined },
    content: Buffer,
  ): Promise<KeptFile> {
    const { store, clock, randomness, options } = this.#deps;
    const { days, callerBytes } = options();
    const createdAt = clock.now();
    const id = randomness.id(prefix);
    const expiresAt = createdAt + Math.min(lifeMs ?? Number.MAX_SAFE_INTEGER, days * DAY_MS);
    const writer = new PieceWriter(store, { scope, id, expiresAt });
    await writer.write(content);
    await writer.end();
    const file: KeptFile = { scope, id, name, purpose, bytes: content.length, createdAt, expiresAt };
    if (await store.keep(file, callerBytes)) return file;
    await store.delete(scope, id);
    throw new ProblemError({
      kind: "too_large",
      message: `Your files together may have ${callerBytes} bytes. Delete some that you need no longer.`,
      code: "storage_quota",
    });
  }

  /** @throws ProblemError not_found */
  async read({ scope }: Caller, id: string): Promise<KeptFile> {
    const file = await this.#deps.store.read(scope, id, this.#deps.clock.now());
    if (file) return file;
    throw new ProblemError({ kind: "not_found", message: `There is no file "${id.slice(0, 100)}".` });
  }

  list({ scope }: Caller, query: PageQuery & { readonly purpose?: string }): Promise<Page<KeptFile>> {
    return this.#deps.store.list(scope, query, this.#deps.clock.now());
  }

  content({ scope, id }: KeptFile): AsyncGenerator<Buffer> {
    return piecesOf(this.#deps.store, { scope, id });
  }

  /** @throws ProblemError not_found */
  async delete(caller: Caller, id: string): Promise<void> {
    await this.read(caller, id);
    await this.#deps.store.delete(caller.scope, id);
  }
}

function readUpload(body: Buffer, boundary: string): { readonly fields: Readonly<Record<string, string>>; readonly file: FormPart } {
  const form = readForm(body, boundary);
  if (!form.ok) throw invalid(form.message);
  const fields = new Map<string, string>();
  let file: FormPart | undefined;
  for (const part of form.parts) {
    if (part.name === "file" ? file !== undefined : fields.has(part.name)) throw invalid(`"${part.name.slice(0, 64)}" is given twice.`);
    if (part.name === "file") {
      if (part.fileName === undefined) throw invalid("The file has no file name.", "file");
      file = part;
      continue;
    }
    const text = partText(body, part);
    if (text === undefined || part.fileName !== undefined) throw invalid(`"${part.name.slice(0, 64)}" is no text.`);
    fields.set(part.name, text);
  }
  if (!file) throw invalid("The form has no file.", "file");
  return { fields: Object.fromEntries(fields), file };
}

/** The last segment of what may be a path of any system; it is told to whoever asks for the file, and used for nothing. */
function plainName(given: string | undefined): string {
  const name = (given ?? "")
    .split(/[\\/]/)
    .at(-1)
    ?.replaceAll(/\p{Cc}/gu, "")
    .trim()
    .slice(0, NAME_CHARACTERS);
  return name === undefined || name === "" || name === "." || name === ".." ? "file" : name;
}
