import { invalid, type Source } from "../canon/index.ts";

/** `data:` URLs: media type and parameters, then base64. Source: RFC 2397. */
const DATA_URL = /^data:([^,;]*)((?:;[^,;]*)*);base64,/i;
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** An address a provider can fetch, or inline bytes. @throws ProblemError naming `param` */
export function sourceFromUrl(url: string, param: string): Source {
  if (/^https?:\/\//i.test(url)) {
    if (!URL.canParse(url)) throw invalid(`\`${param}\` is not a valid URL.`, param, "invalid_image_url");
    return { url };
  }
  if (!/^data:/i.test(url)) throw invalid(`\`${param}\` must be an http(s) URL or a base64 data: URL.`, param);
  const head = DATA_URL.exec(url);
  if (!head) throw invalid(`\`${param}\` is a data: URL without base64 content.`, param);
  const data = checkedBase64(url.slice(head[0].length), param);
  const mediaType = head[1];
  return { data, ...(mediaType && { mediaType: mediaType.toLowerCase() }) };
}

/** @throws ProblemError naming `param` */
export function checkedBase64(data: string, param: string): string {
  if (data === "" || data.replace(/=+$/, "").length % 4 === 1 || !BASE64.test(data)) {
    throw invalid(`\`${param}\` is not well-formed base64.`, param);
  }
  return data;
}
