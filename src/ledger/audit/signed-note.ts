import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign, verify } from "node:crypto";

/** Of Ed25519, in the C2SP registry of signature types. */
const ED25519 = 1;
const SEED_BYTES = 32;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const ID_BYTES = 4;
const SIGNATURE_MARK = "— ";
/** Signatures looked at; a log signs once, and witnesses are few. */
const MOST_SIGNATURES = 100;
/** RFC 8410: what stands before the bare bytes of an Ed25519 key in DER. */
const PRIVATE_DER = Buffer.from("302e020100300506032b657004220420", "hex");
const PUBLIC_DER = Buffer.from("302a300506032b6570032100", "hex");

/** Checks signatures of one key: C2SP signed-note, "verifier key". */
export interface VerifierKey {
  readonly name: string;
  /** Four bytes, lower-case hex. */
  readonly id: string;
  readonly key: KeyObject;
  /** As people hand it on: `NAME+ID+BASE64`. */
  readonly text: string;
}

/** Makes signatures. The bytes of `key` never leave it. */
export interface SignerKey {
  readonly verifier: VerifierKey;
  readonly key: KeyObject;
}

export interface NoteSignature {
  readonly name: string;
  readonly id: string;
  readonly signature: Buffer;
}

export interface SignedNote {
  /** Ends with a line end. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** A key's name holds no white space and no plus sign. */
export function isKeyName(name: string): boolean {
  return name !== "" && !/[\s+\p{Cc}]/u.test(name);
}

export function verifierKey(name: string, publicBytes: Buffer): VerifierKey {
  const typed = Buffer.concat([Buffer.of(ED25519), publicBytes]);
  const id = hash("sha256", Buffer.concat([Buffer.from(`${name}\n`), typed]), "buffer")
    .subarray(0, ID_BYTES)
    .toString("hex");
  const key = createPublicKey({ key: Buffer.concat([PUBLIC_DER, publicBytes]), format: "der", type: "spki" });
  return { name, id, key, text: `${name}+${id}+${typed.toString("base64")}` };
}

/** Undefined when the text is no Ed25519 verifier key, or its id does not fit its name and bytes. */
export function readVerifierKey(text: string): VerifierKey | undefined {
  const [, name = "", id = "", encoded = ""] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text.trim()) ?? [];
  const bytes = Buffer.from(encoded, "base64");
  if (!isKeyName(name) || bytes.length !== KEY_BYTES + 1 || bytes[0] !== ED25519) return undefined;
  const key = verifierKey(name, bytes.subarray(1));
  return key.id === id ? key : undefined;
}

export function newSeed(): Buffer {
  const { privateKey } = generateKeyPairSync("ed25519");
  return privateKey.export({ format: "der", type: "pkcs8" }).subarray(-SEED_BYTES);
}

export function signerKey(name: string, seed: Buffer): SignerKey {
  const key = createPrivateKey({ key: Buffer.concat([PRIVATE_DER, seed]), format: "der", type: "pkcs8" });
  const publicBytes = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-KEY_BYTES);
  return { key, verifier: verifierKey(name, publicBytes) };
}

/** `PRIVATE+KEY+NAME+ID+BASE64`, the form in which tools of transparency logs keep a signer. */
export function writeSignerKey(name: string, seed: Buffer): string {
  const { id } = signerKey(name, seed).verifier;
  return `PRIVATE+KEY+${name}+${id}+${Buffer.concat([Buffer.of(ED25519), seed]).toString("base64")}`;
}

export function readSignerKey(text: string): SignerKey | undefined {
  const [, name = "", id = "", encoded = ""] = /^PRIVATE\+KEY\+([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text.trim()) ?? [];
  const bytes = Buffer.from(encoded, "base64");
  if (!isKeyName(name) || bytes.length !== SEED_BYTES + 1 || bytes[0] !== ED25519) return undefined;
  const key = signerKey(name, bytes.subarray(1));
  return key.verifier.id === id ? key : undefined;
}

/** @param text ends with a line end and holds no other control character (C2SP signed-note) */
export function signNote(text: string, { key, verifier }: SignerKey): string {
  const signature = sign(null, Buffer.from(text), key);
  return `${text}\n${SIGNATURE_MARK}${verifier.name} ${Buffer.concat([Buffer.from(verifier.id, "hex"), signature]).toString("base64")}\n`;
}

/** Undefined when it is not of the form of a signed note. */
export function readNote(note: string): SignedNote | undefined {
  // The last empty line parts text and signatures: the text may hold empty lines itself.
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n") || /[^\P{Cc}\n]/u.test(note)) return undefined;
  const lines = note.slice(end + 2, -1).split("\n");
  if (lines.length > MOST_SIGNATURES) return undefined;
  const signatures: NoteSignature[] = [];
  for (const line of lines) {
    const [, name = "", encoded = ""] = /^— (\S+) ([A-Za-z0-9+/]+=*)$/.exec(line) ?? [];
    const bytes = Buffer.from(encoded, "base64");
    if (!isKeyName(name) || bytes.length <= ID_BYTES) return undefined;
    signatures.push({ name, id: bytes.subarray(0, ID_BYTES).toString("hex"), signature: bytes.subarray(ID_BYTES) });
  }
  return { text: note.slice(0, end + 1), signatures };
}

/** Did this key sign it? Signatures of other keys are passed over; one of this key that does not hold makes the note worthless. */
export function isSignedBy({ text, signatures }: SignedNote, { name, id, key }: VerifierKey): boolean {
  const own = signatures.filter((one) => one.name === name && one.id === id);
  return (
    own.length > 0 && own.every(({ signature }) => signature.length === SIGNATURE_BYTES && verify(null, Buffer.from(text), key, signature))
  );
}
