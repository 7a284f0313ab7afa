import type { Dialect, DoorContext, JsonObject, TaskOperation } from "../../canon/index.ts";
import { ID } from "../gemini-tasks/embed.ts";
import { MAKE } from "../gemini-tasks/image.ts";
import { modelOf } from "./decode-call.ts";
import { at, isList, isObject } from "./wire.ts";

/** What an answer can be besides text, and the task that asks others for it. */
const MADE: Readonly<Record<string, TaskOperation>> = { IMAGE: "image", AUDIO: "speech" };

/** A request for an image or for speech. One for both is neither: no task makes them together. */
export function asTask(body: JsonObject, { params }: DoorContext): ReturnType<NonNullable<Dialect["asTask"]>> {
  const generation = at(body, "generationConfig");
  const modalities = isObject(generation) ? at(generation, "responseModalities") : undefined;
  const asked = new Set<TaskOperation>();
  for (const modality of isList(modalities) ? modalities : []) {
    const operation = typeof modality === "string" && Object.hasOwn(MADE, modality) ? MADE[modality] : undefined;
    if (operation) asked.add(operation);
  }
  const [operation] = asked;
  if (!operation || asked.size > 1) return undefined;
  return { dialect: ID, operation, params: { ...params, model: modelOf({ params }), variant: MAKE.generate } };
}
