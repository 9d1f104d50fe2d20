/** Text of a document from the disk. What is wrong with the file itself is a diagnostic, like what is wrong in it. */
import { open, stat } from "node:fs/promises";

import type { Diagnostic } from "./diagnostic.ts";
import { YAML_BYTES_MAX } from "./yaml-document.ts";

/** Our own code for a device, a pipe or a socket. */
const NO_FILE = "HEDDLE_NO_FILE";

/** The text, without a byte order mark, or why there is none. */
export type ReadText = { readonly text: string } | { readonly diagnostic: Diagnostic };

/** Reads a file of at most {@link YAML_BYTES_MAX} bytes. Never rejects. */
export async function readText(file: string): Promise<ReadText> {
  let bytes: Buffer;
  try {
    bytes = await readBounded(file);
  } catch (error) {
    return failed(file, 1, 1, ...reasonOf(error));
  }
  return textOf(bytes, file);
}

/** Bytes, which must be UTF-8, as text. */
export function textOf(bytes: Buffer, file: string): ReadText {
  if (bytes.length > YAML_BYTES_MAX) {
    return failed(
      file,
      1,
      1,
      `the file has more than ${YAML_BYTES_MAX} bytes, which is not read`,
      "split it into several files",
    );
  }
  const wrong = firstNonUtf8(bytes);
  if (wrong !== undefined) {
    const before = bytes.subarray(0, wrong).toString();
    const line = before.split("\n").length;
    const column = before.length - (before.lastIndexOf("\n") + 1) + 1;
    const shown = (bytes[wrong] as number).toString(16).padStart(2, "0");
    return failed(file, line, column, `the byte 0x${shown} is not valid UTF-8`, "save the file as UTF-8");
  }
  const text = bytes.toString();
  return { text: text.startsWith("\uFEFF") ? text.slice(1) : text };
}

/** At most one byte more than is allowed, so that the size shows without reading all of it. */
async function readBounded(file: string): Promise<Buffer> {
  // Before it is opened: opening a pipe waits for whoever writes into it.
  const found = await stat(file);
  if (!found.isFile()) throw Object.assign(new Error(), { code: found.isDirectory() ? "EISDIR" : NO_FILE });
  const handle = await open(file, "r");
  try {
    const buffer = Buffer.alloc(YAML_BYTES_MAX + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } finally {
    await handle.close();
  }
}

/** @returns what is wrong, and what to do about it or "" */
export function reasonOf(error: unknown): [message: string, hint: string] {
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return ["there is no such file", ""];
  if (code === "EACCES" || code === "EPERM") return ["this user may not read the file", ""];
  if (code === "EISDIR") return ["this is a folder", "name the file in it"];
  if (code === NO_FILE) return ["this is no ordinary file", ""];
  return [`the file cannot be read: ${message}`, ""];
}

/** The offset where the first malformed or cut-off UTF-8 character begins. */
function firstNonUtf8(bytes: Buffer): number | undefined {
  let text = decodeStart(bytes);
  if (text === undefined) {
    let good = 0;
    let bad = bytes.length;
    while (bad - good > 1) {
      const middle = (good + bad) >> 1;
      if (decodeStart(bytes.subarray(0, middle)) === undefined) bad = middle;
      else good = middle;
    }
    text = decodeStart(bytes.subarray(0, good)) ?? "";
  }
  // An incomplete character at the end is not in the text, so the text ends where that character begins.
  const end = Buffer.byteLength(text);
  return end === bytes.length ? undefined : end;
}

/** The text of bytes that may end in the middle of a character; undefined if they are malformed before that. */
function decodeStart(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true });
  } catch {
    return undefined;
  }
}

function failed(file: string, line: number, column: number, message: string, hint: string): ReadText {
  return { diagnostic: { severity: "error", file, line, column, field: "", message, hint } };
}
