import { ProblemError, type Dialect, type FileDoor, type FileLanguage, type JsonObject } from "../canon/index.ts";
import type { Files } from "../batches/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { mountVisits, pageOf, readBody, sendStream, type Visit } from "./front-door.ts";
import { sendJson } from "./respond.ts";
import type { Router } from "./router.ts";

export interface FileDoorDeps {
  readonly gateway: GatewayDeps;
  readonly files: Files;
}

/** Mounts the doors by which the languages keep files. */
export function mountFiles(router: Router, deps: FileDoorDeps): void {
  for (const dialect of deps.gateway.dialects.values()) {
    const { files } = dialect;
    if (files)
      for (const door of files.doors) mountVisits(router, deps.gateway, dialect, door, (visit) => serve(deps, dialect, files, door, visit));
  }
}

async function serve(
  { gateway, files }: FileDoorDeps,
  _dialect: Dialect,
  language: FileLanguage,
  door: FileDoor,
  { request, out, params, caller }: Visit,
): Promise<void> {
  const { id = "" } = params;
  const send = (body: unknown): void => sendJson(out, 200, { ...(body as JsonObject) });
  switch (door.does) {
    case "upload": {
      const { requestBodyMs } = gateway.snapshot().limits;
      const file = await files.upload(language, caller, request.headers["content-type"], (maxBytes) => {
        // What is said to be too large need not be read to be refused.
        const declared = Number(request.headers["content-length"] ?? 0);
        if (declared > maxBytes)
          throw new ProblemError({ kind: "too_large", message: `The body is larger than the limit of ${maxBytes} bytes.` });
        return readBody(request, maxBytes, requestBodyMs);
      });
      return send(language.encode(file));
    }
    case "list": {
      const { purpose } = params;
      return send(language.encodePage(await files.list(caller, { ...pageOf(params), ...(purpose !== undefined && { purpose }) })));
    }
    case "read":
      return send(language.encode(await files.read(caller, id)));
    case "delete":
      await files.delete(caller, id);
      return send(language.encodeDeleted(id));
    case "content": {
      const file = await files.read(caller, id);
      const headers = {
        "content-type": "application/octet-stream",
        "content-disposition": `attachment; filename*=UTF-8''${encodeName(file.name)}`,
        "x-content-type-options": "nosniff",
      };
      return sendStream(out, headers, files.content(file));
    }
  }
}

/** RFC 8187, section 3.2.1; a lone half of a letter is none. */
function encodeName(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replaceAll(/['()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
}
