import type { Dialect, Headers } from "../canon/index.ts";
import type { FrontRequest } from "../wire/types.ts";
import { queryParams } from "./router.ts";

/** A request's headers, with what its language lets the query say in their place; a header that was sent wins. */
export function headersIn({ queryHeaders }: Pick<Dialect, "queryHeaders">, request: Pick<FrontRequest, "headers" | "query">): Headers {
  if (!queryHeaders || request.query === "") return request.headers;
  const params = queryParams(request.query);
  const said: Record<string, string> = {};
  for (const [param, header] of Object.entries(queryHeaders)) {
    const value = params[param];
    if (value !== undefined && value !== "" && request.headers[header] === undefined) said[header] = value;
  }
  return { ...request.headers, ...said };
}
