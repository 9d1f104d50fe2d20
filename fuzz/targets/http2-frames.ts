/** What the fuzz targets of HTTP/2 share: bytes on the wire as frames, and pieces to mutate with. */
import { CLIENT_PREFACE, errorName, FrameType } from "../../src/protocol/http2/frames.ts";
import { HpackDecoder } from "../../src/protocol/http2/hpack/decoder.ts";

/** Frame heads, settings, and header fields as HPACK has them: one character per byte. */
export const HTTP2_TOKENS = [
  "\0\0\0\x04\0\0\0\0\0",
  "\0\0\0\x04\x01\0\0\0\0",
  "\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0",
  "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x01",
  "\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0",
  "\0\0\x08\x06\0\0\0\0\x0001234567",
  "\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
  "\0\0\x04\x08\0\0\0\0\x01\x7f\xff\xff\xff",
  "\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
  "\0\0\x08\x07\0\0\0\0\0\0\0\0\x03\0\0\0\0",
  "\0\0\x05\x02\0\0\0\0\x01\0\0\0\x03\x10",
  "\0\0\x01\x00\x01\0\0\0\x01x",
  "\0\0\x00\x00\x01\0\0\0\x01",
  "\0\0\x05\x00\x09\0\0\0\x01\x02hi\0\0",
  "\0\0\x04\x01\x05\0\0\0\x01\x82\x86\x84\x01",
  "\0\0\x04\x01\x05\0\0\0\x03\x82\x86\x84\x41",
  "\0\0\x01\x01\x05\0\0\0\x01\x88",
  "\0\0\x01\x09\x04\0\0\0\x01\x84",
  "\x82",
  "\x83",
  "\x84",
  "\x86",
  "\x88",
  "\xbe",
  "\x3f\xe1\x1f",
  "\x20",
  "\x01\x01h",
  "\x41\x01h",
  "\x00\x01x\x01y",
  "\x40\x01x\x01y",
  "\x10\x01x\x01y",
  "\x0f\x0d\x015",
  "\x0f\x0d\x010",
  "\x00\x09:protocol\x09websocket",
  "\x00\x02te\x08trailers",
  "\x00\x07upgrade\x03h2c",
  "\x00\x04host\x01h",
  "\x00\x11transfer-encoding\x07chunked",
  "\x00\x0agrpc-status\x010",
  "\x08\x03103",
  "\x7f\xff\xff\xff\x0f",
  "\r\n",
  "\0",
];

/** Frames as text, with header blocks decoded, but for WINDOW_UPDATE: credit may be given in smaller or larger steps. */
export function framesAsText(bytes: Buffer, fromClient: boolean): string[] {
  const decoder = new HpackDecoder();
  const frames: string[] = [];
  let at = fromClient ? CLIENT_PREFACE.length : 0;
  while (at + 9 <= bytes.length) {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes[at + 3] as number;
    const head = `${type} ${bytes[at + 4]} ${bytes.readUInt32BE(at + 5)}`;
    const payload = bytes.subarray(at + 9, at + 9 + length);
    if (payload.length < length) throw new Error("half a frame was sent");
    at += 9 + length;
    if (type === FrameType.windowUpdate) continue;
    if (type === FrameType.headers) {
      const fields: string[] = [];
      const flaw = decoder.decode(payload, 0, length, { onField: (name, value) => void fields.push(name, value) });
      if (flaw !== undefined) throw new Error(`a header block that cannot be read was sent: ${flaw}`);
      frames.push(`${head} ${fields.join("|")}`);
    } else if (type === FrameType.goaway) {
      frames.push(`${head} ${payload.readUInt32BE(0)} ${errorName(payload.readUInt32BE(4))}`);
    } else {
      frames.push(`${head} ${payload.toString("latin1")}`);
    }
  }
  if (at !== bytes.length) throw new Error("half a frame was sent");
  return frames;
}

/** The codes of what went wrong, as a kind of outcome. */
export function troubles(frames: readonly string[]): string {
  return frames
    .filter((frame) => /^[37] /.test(frame))
    .map((frame) => frame.replace(/[^\x20-\x7e]/g, (byte) => byte.charCodeAt(0).toString(16)))
    .slice(0, 3)
    .join();
}
