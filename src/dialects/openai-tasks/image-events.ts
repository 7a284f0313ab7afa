import type { ImageResult, ImageTask, JsonObject, TaskAnswerContext, TaskFrame, Usage } from "../../canon/index.ts";

/** Images that came in one piece, as the stream that was asked for: one event each, and what was used in the last. */
export function encodeFrames(
  { images, usage, createdAt }: ImageResult,
  { task, createdAt: now }: TaskAnswerContext<ImageTask>,
): readonly TaskFrame[] | undefined {
  if (!task.stream) return undefined;
  const type = task.images.length > 0 ? "image_edit.completed" : "image_generation.completed";
  return images.map(({ base64 = "", contentType = "image/png" }, at) => ({
    event: type,
    json: {
      type,
      b64_json: base64,
      created_at: createdAt || now,
      background: "auto",
      quality: "auto",
      size: task.size ?? "auto",
      output_format: contentType.replace("image/", ""),
      ...(at === images.length - 1 && { usage: tokensTold(usage) }),
    },
  }));
}

/** Tokens as this language tells them of an image. */
export function tokensTold(usage: Usage | undefined): JsonObject {
  const { inputUncached = 0, output = 0, media = {} } = usage ?? {};
  const images = media["input_image_tokens"] ?? 0;
  return {
    input_tokens: inputUncached,
    output_tokens: output,
    total_tokens: inputUncached + output,
    input_tokens_details: { image_tokens: images, text_tokens: inputUncached - images },
  };
}
