import type { JsonObject } from "../../canon/index.ts";
import { parseJson } from "../../kit/index.ts";
import { isObject } from "../shared-shape.ts";
import { CUSTOM_INPUT_PROPERTY } from "../shared-tools.ts";

/** Arguments are an object here. What a model wrote that is none travels as the text that it is. */
export function argumentsOf(input: string): JsonObject {
  const value = input.trim() === "" ? {} : parseJson(input);
  return isObject(value) ? value : { [CUSTOM_INPUT_PROPERTY]: input };
}
