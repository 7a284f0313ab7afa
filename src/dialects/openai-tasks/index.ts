import type { TaskOperation } from "../../canon/index.ts";
import { defineTaskDialect } from "../task-dialect.ts";
import { embed, ID } from "./embed.ts";
import { image, IMAGE } from "./image.ts";
import { moderate } from "./moderate.ts";
import { speech } from "./speech.ts";
import { transcribe, TRANSCRIBE } from "./transcribe.ts";

const door = (path: string, operation: TaskOperation, variant?: string) => ({
  method: "POST" as const,
  path,
  does: { kind: "call" as const, operation },
  ...(variant !== undefined && { params: { variant } }),
});

/** What OpenAI's API has besides conversations, and what compatible vendors and servers made of it. */
export default defineTaskDialect({
  id: ID,
  title: "OpenAI Embeddings, Moderations, Images and Audio",
  requestIdHeader: "x-request-id",
  doors: [
    door("/v1/embeddings", "embed"),
    door("/v1/moderations", "moderate"),
    door("/v1/images/generations", "image", IMAGE.make),
    door("/v1/images/edits", "image", IMAGE.edit),
    door("/v1/audio/speech", "speech"),
    door("/v1/audio/transcriptions", "transcribe", TRANSCRIBE.same),
    door("/v1/audio/translations", "transcribe", TRANSCRIBE.english),
  ],
  tasks: { embed, moderate, image, speech, transcribe },
});
