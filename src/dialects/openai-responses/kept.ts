import { invalid, type AnswerContext, type Item, type Json, type JsonObject, type PendingState, type Problem } from "../../canon/index.ts";
import { encodeOutputItem, isShown, itemId } from "./output-items.ts";
import { responseError } from "./problem.ts";
import { buildResponse } from "./response.ts";
import { ID, isObject, textIn, without, type Draft } from "./shape.ts";

/** Items on a page of input items: as many when none is asked for, and at most. */
const DEFAULT_PAGE = 20;
const MAX_PAGE = 100;

export function encodePending(state: PendingState, context: AnswerContext, problem?: Problem): Json {
  const id = context.id ?? "resp_0";
  const error = problem && state === "failed" ? { error: responseError(problem, id) } : {};
  return buildResponse({ id, model: context.call.model, createdAt: context.createdAt, status: state, output: [], ...error }, context);
}

export function encodeDeleted(id: string): Json {
  return { id, object: "response", deleted: true };
}

/** One page of the items behind an answer; newest first unless asked otherwise. @throws ProblemError invalid_request */
export function encodeItems(items: readonly Item[], params: Readonly<Record<string, string>>): Json {
  const limit = pageSize(params["limit"]);
  const order = params["order"] ?? "desc";
  if (order !== "asc" && order !== "desc") throw invalid("`order` must be asc or desc.", "order");
  const all = items.filter(isShown).map((item, index) => listed(item, index));
  const ordered = order === "asc" ? all : all.toReversed();
  const { after } = params;
  const from = after === undefined || after === "" ? 0 : ordered.findIndex((item) => item["id"] === after) + 1;
  if (after && from === 0) throw invalid(`\`after\` names no item of this answer: "${after.slice(0, 100)}".`, "after");
  const data = ordered.slice(from, from + limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.["id"] ?? null,
    last_id: data.at(-1)?.["id"] ?? null,
    has_more: from + limit < ordered.length,
  };
}

/**
 * Events a client already has of an answer that it asks for as a stream; undefined where it wants the answer itself. `starting_after` is
 * the number of the last event it got, counted from 0. @throws ProblemError invalid_request
 */
export function replayAfter(params: Readonly<Record<string, string>>): number | undefined {
  if (params["stream"] !== "true") return undefined;
  const { starting_after: after } = params;
  if (after === undefined || after === "") return 0;
  if (!/^\d{1,9}$/.test(after)) throw invalid("`starting_after` must be the number of an event.", "starting_after");
  return Number(after) + 1;
}

function pageSize(asked: string | undefined): number {
  if (asked === undefined || asked === "") return DEFAULT_PAGE;
  const limit = Number(asked);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE)
    throw invalid(`\`limit\` must be a whole number from 1 to ${MAX_PAGE}.`, "limit");
  return limit;
}

/** In a list every item has an id, a type and, being a message, a list of parts. */
function listed(item: Item, index: number): JsonObject {
  const { raw } = item;
  const id = textIn(isObject(raw) ? raw["id"] : undefined) ?? itemId(item, "input", index);
  if (item.type === "message" && item.origin?.dialect === ID && !hasPartList(raw)) {
    const { raw: _raw, ...rest } = item;
    return encodeOutputItem({ ...rest, id }, id) as JsonObject;
  }
  const wire = encodeOutputItem(item, id);
  const object: Draft = isObject(wire) ? { ...wire } : { type: "message" };
  if (object["type"] === undefined) object["type"] = item.type === "message" ? "message" : "item_reference";
  return {
    ...without(object, "id"),
    id,
    ...(item.type === "message" && { status: textIn(object["status"]) ?? "completed" }),
  };
}

function hasPartList(raw: Json | undefined): boolean {
  return isObject(raw) && Array.isArray(raw["content"]);
}
