import type { parseJson } from "./json.ts";

type JsonValue = NonNullable<ReturnType<typeof parseJson>> | null;

/** Bytes that are looked at between two turns. */
const TURN_BYTES = 256 * 1024;
/** How deep an array may lie whose members are read one by one. */
const SHALLOW = 2;
const MARK = "\u0000member ";

const decoder = new TextDecoder("utf-8", { fatal: true });

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * `JSON.parse` in turns, for bytes that take long to read: lists of lists or of objects near the top are read member by member, and whoever
 * takes the turns may do other things between two of them. Returns what `JSON.parse` returns; undefined: it is no JSON.
 */
export function* jsonTurns(bytes: Uint8Array): Generator<void, JsonValue | undefined> {
  const lists: JsonValue[][] = [];
  let skeleton = "";
  let from = 0;
  let depth = 0;
  let turn = TURN_BYTES;
  try {
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) at = endOfString(bytes, at);
      else if (byte === OPEN_OBJECT) depth++;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth--;
      else if (byte === OPEN_LIST) {
        const first = skipSpace(bytes, at + 1);
        if (depth > SHALLOW || (bytes[first] !== OPEN_OBJECT && bytes[first] !== OPEN_LIST)) depth++;
        else {
          const members: JsonValue[] = [];
          skeleton += decoder.decode(bytes.subarray(from, at)) + JSON.stringify(MARK + lists.length);
          lists.push(members);
          let place = first;
          for (;;) {
            const end = endOfMember(bytes, place);
            members.push(JSON.parse(decoder.decode(bytes.subarray(place, end))) as JsonValue);
            const next = skipSpace(bytes, end);
            if (bytes[next] === CLOSE_LIST) {
              at = next;
              break;
            }
            if (bytes[next] !== COMMA) return undefined;
            place = skipSpace(bytes, next + 1);
            if (place > turn) {
              turn = place + TURN_BYTES;
              yield;
            }
          }
          from = at + 1;
        }
      }
      if (at > turn) {
        turn = at + TURN_BYTES;
        yield;
      }
    }
    skeleton += decoder.decode(bytes.subarray(from));
    return JSON.parse(skeleton, (_key, value: JsonValue) => listBehind(value, lists)) as JsonValue;
  } catch {
    return undefined;
  }
}

function listBehind(value: JsonValue, lists: readonly JsonValue[][]): JsonValue {
  if (typeof value !== "string" || !value.startsWith(MARK)) return value;
  return lists[Number(value.slice(MARK.length))] ?? value;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (let byte = bytes[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = bytes[at]) at++;
  return at;
}

/** Where the string's closing quote stands. @throws when there is none */
function endOfString(bytes: Uint8Array, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === BACKSLASH) at++;
    else if (byte === QUOTE) return at;
  }
  throw new SyntaxError("the string does not end");
}

/** Behind a list or an object; behind a number or a word, where the comma or the bracket stands. @throws when it does not end */
function endOfMember(bytes: Uint8Array, from: number): number {
  let depth = 0;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at];
    // Most are digits.
    if (byte === undefined || (byte > COMMA && byte < OPEN_LIST)) continue;
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth++;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (byte === COMMA && depth === 0) return at;
  }
  throw new SyntaxError("the member does not end");
}
