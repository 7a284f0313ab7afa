import { describe, expect, it } from "vitest";
import { anchorIn, requestToGoOn } from "../../src/canon/index.ts";
import { anchorOf, Joint, type GoingOn } from "../../src/gateway/joint.ts";
import { SeededRandomness } from "../../src/kit/index.ts";

/** What a client hears behind `said` when `rest` comes in pieces of so many characters. */
function joined(said: string, rest: string, how: GoingOn, size = 3): string {
  const joint = new Joint(said, how);
  let heard = said;
  for (let at = 0; at < rest.length; at += size) heard += joint.push(rest.slice(at, at + size));
  return heard + joint.end();
}

const TEXT =
  "The quick brown fox jumps over the lazy dog. It does so every morning, because nobody told it that the dog has not been lazy for years; and the dog, for its part, has stopped to care.\n\n- first: bread\n- second: butter\n- third: more bread, and some jam\n\nThat is all there is to say about the matter, for now.";

describe("where two halves of an answer meet", () => {
  it("an exact continuation of a prefill is never changed, wherever it was cut", () => {
    for (let at = 0; at <= TEXT.length; at++) {
      const said = TEXT.slice(0, at);
      // The space at the end is not sent along: whoever goes on says it again, as here.
      expect(joined(said, TEXT.slice(said.trimEnd().length), "prefill")).toBe(TEXT);
    }
  });

  it("a continuation that begins with the last words, as it was asked to, loses them", () => {
    for (let at = 1; at <= TEXT.length; at++) {
      const said = TEXT.slice(0, at);
      const rest = anchorOf(said) + TEXT.slice(said.trimEnd().length);
      for (const size of [1, 7, 1000]) expect(joined(said, rest, "turn", size), String(at)).toBe(TEXT);
      expect(joined(said, `\n\n${rest}`, "turn")).toBe(TEXT);
    }
  });

  it("a continuation that goes on exactly is left as it is", () => {
    for (let at = 1; at <= TEXT.length; at++) expect(joined(TEXT.slice(0, at), TEXT.slice(at), "turn"), String(at)).toBe(TEXT);
  });

  it("an answer told again from its start is joined where it broke", () => {
    for (let at = 32; at <= TEXT.length; at += 3)
      for (const how of ["turn", "prefill"] as const) {
        const said = TEXT.slice(0, at);
        if (said.trim().length >= 32) expect(joined(said, TEXT, how), `${how} ${at}`).toBe(TEXT);
      }
  });

  it("more than the last words said again are found", () => {
    const random = new SeededRandomness(5);
    for (let turn = 0; turn < 200; turn++) {
      const at = 120 + Math.floor(random.number() * (TEXT.length - 120));
      const back = 20 + Math.floor(random.number() * 60);
      expect(joined(TEXT.slice(0, at), TEXT.slice(at - back), "turn")).toBe(TEXT);
    }
  });

  it("an answer begun anew and told otherwise is noticed", () => {
    const joint = new Joint(TEXT.slice(0, 120), "turn");
    joint.push(`${TEXT.slice(0, 80)} And now for something completely different.`);
    expect(joint.diverged).toBe(true);
    const exact = new Joint(TEXT.slice(0, 120), "turn");
    exact.push(TEXT.slice(120));
    expect(exact.diverged).toBe(false);
  });

  it("chance is not taken for a repetition", () => {
    expect(joined("hel", "lo", "turn")).toBe("hello");
    expect(joined("a b a b ", "a b", "prefill")).toBe("a b a b a b");
    expect(joined("na na na ", "Batman", "turn")).toBe("na na na Batman");
  });

  it("of what was said before nothing is taken when an answer begins anew but the space", () => {
    expect(joined("", "Hello", "anew")).toBe("Hello");
    expect(joined("\n\n", "\n\nHello", "anew")).toBe("\n\nHello");
  });
});

describe("the request to go on", () => {
  it("names the last words, whole ones, and is read back", () => {
    expect(anchorOf("The quick brown fox jumps over the lazy dog and ru")).toBe("brown fox jumps over the lazy dog and ru");
    expect(anchorOf("short ")).toBe("short");
    expect(anchorOf("x".repeat(100))).toBe("x".repeat(40));
    const words = 'a "quoted" <tag> </last-words> end';
    expect(anchorIn(requestToGoOn(words, "Be brief."))).toBe(words);
    expect(anchorIn("What is this?")).toBeUndefined();
  });
});
