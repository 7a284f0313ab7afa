import type { FrameRole, JsonObject } from "../../canon/index.ts";
import { jsonLines, parseJson } from "../../kit/index.ts";
import { StreamMeter } from "../shared-meter.ts";
import { isList, isObject, object, text } from "../shared-shape.ts";
import { messageIn } from "./answer.ts";
import { IGNORED } from "./decode-events.ts";
import { embeddedProblem } from "./problem.ts";
import { idOf, stopOf, usageOf } from "./usage.ts";

/** Reads raw lines without decoding them; one that differs from an earlier one in its words and its time alone is only compared. */
export class LineMeter extends StreamMeter {
  protected read(frame: Buffer): FrameRole {
    const parsed = jsonLines.parse(frame);
    if (!parsed) return "quiet";
    const body = parseJson(parsed.data);
    if (!isObject(body))
      return this.fail({ kind: "upstream_broken", message: "The provider sent a piece of its stream that is not a JSON object." });
    if (body["error"] !== undefined) return this.fail(embeddedProblem(body, undefined));
    return this.#take(body, frame);
  }

  #take(body: JsonObject, frame: Buffer): FrameRole {
    this.idSeen ??= idOf(body);
    this.modelSeen ??= text(body["model"]) ?? "";
    const message = messageIn(body);
    const content = text(message["content"]);
    const thinking = text(message["thinking"]);
    const calls = isList(message["tool_calls"]) ? message["tool_calls"] : [];
    this.characters += (content?.length ?? 0) + (thinking?.length ?? 0);
    for (const call of calls) this.characters += JSON.stringify(object(object(call)?.["function"])?.["arguments"] ?? "").length;
    if (calls.length > 0) this.hasCalled = true;
    if (body["done"] === true) {
      this.ended = true;
      this.usageSeen = usageOf(body);
      this.stopSeen = stopOf(body, this.hasCalled);
      return "done";
    }
    const piece = content ?? thinking;
    const single = (content === undefined) !== (thinking === undefined) && calls.length === 0 && body["logprobs"] === undefined;
    if (single && piece !== undefined) this.templates.learn(frame, piece, IGNORED);
    return piece !== undefined || calls.length > 0 ? "output" : "quiet";
  }
}
