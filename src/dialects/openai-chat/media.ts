export function dataUrl(data: string, mediaType: string): string {
  return `data:${mediaType};base64,${data}`;
}

const AUDIO_FORMATS: Readonly<Record<string, string>> = {
  "audio/mpeg": "mp3",
  "audio/mp3": "mp3",
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/wave": "wav",
};

/** `wav` or `mp3`, the two that a request may carry; other formats keep their own name. */
export function audioFormat(mediaType: string | undefined): string | undefined {
  if (mediaType === undefined) return undefined;
  return AUDIO_FORMATS[mediaType] ?? mediaType.split("/")[1];
}
