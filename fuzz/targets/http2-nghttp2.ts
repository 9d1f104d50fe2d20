/**
 * Our HTTP/2 server beside Node's (nghttp2): a request that both take is the same one, and when only one takes it, the
 * reason is one of those written down here.
 */
import assert from "node:assert/strict";
import http2 from "node:http2";

import { CLIENT_PREFACE, errorName } from "../../src/protocol/http2/frames.ts";
import type { Target } from "../target.ts";
import { HTTP2_TOKENS } from "./http2-frames.ts";
import { serve2 } from "./http2-server.ts";
import { MemoryDuplex, settled } from "./memory-duplex.ts";

interface Request {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** name=value, sorted: Node puts the values of one name together. */
  readonly fields: string;
  readonly body: string;
}

interface Heard {
  /** Complete ones, in the order in which they began. */
  readonly requests: Request[];
  /** What the connection or a stream came to grief by. */
  readonly trouble: string;
}

async function ours(input: Buffer): Promise<Heard> {
  const { requests, faults, frames } = await serve2([input]);
  const whole = requests
    // nghttp2 wants an authority. One sidecar may pass a request of HTTP/1.0 without Host to another.
    .filter(({ head, end, body }) => (end || body.ended) && head.authority !== "")
    .map(({ head, body }) => ({
      method: head.method,
      path: head.path,
      authority: head.authority,
      fields: fieldsOf(head.headers),
      body: body.text,
    }));
  const errors = frames.filter((frame) => /^[37] /.test(frame)).map((frame) => frame.split(" ").at(-1));
  return { requests: whole, trouble: faults[0] ?? (errors.length > 0 ? "reset" : "") };
}

async function theirs(input: Buffer): Promise<Heard> {
  const requests: Request[] = [];
  let trouble = "";
  const server = http2.createServer({ settings: { enableConnectProtocol: false } });
  server.on("stream", (stream: http2.ServerHttp2Stream, headers, _, rawHeaders) => {
    const chunks: Buffer[] = [];
    stream.on("error", (error) => (trouble ||= error.message));
    // Also of a request that was complete: Node drops it if it has not been read by then.
    stream.on("close", () => {
      if (stream.rstCode !== 0) trouble ||= errorName(stream.rstCode);
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      if (stream.aborted || stream.rstCode !== 0) return;
      requests.push({
        method: String(headers[":method"]),
        path: headers[":path"] ?? "",
        authority: headers[":authority"] ?? headers["host"] ?? "",
        fields: fieldsOf(rawHeaders),
        body: Buffer.concat(chunks).toString("latin1"),
      });
      if (!stream.destroyed && !stream.headersSent) {
        stream.respond({ ":status": 200 });
        stream.end("ok");
      }
    });
  });
  server.on("sessionError", (error: Error) => (trouble ||= error.message));
  server.on("session", (session) => {
    session.on("frameError", (type, code) => (trouble ||= `frame ${type}: ${errorName(code)}`));
    session.on("goaway", (code) => (trouble ||= `the client said ${errorName(code)}`));
  });
  const socket = new MemoryDuplex(Buffer.concat([Buffer.from(CLIENT_PREFACE), input]));
  server.emit("connection", socket);
  await settled();
  socket.destroy();
  server.close();
  return { requests, trouble };
}

function fieldsOf(headers: readonly string[]): string {
  const fields: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    // Cookies are put together by both, each in its own way.
    if (!name.startsWith(":") && name !== "cookie") fields.push(`${name}=${headers[i + 1]}`);
  }
  return fields.sort().join("\n");
}

export const http2Nghttp2: Target = {
  name: "http2-nghttp2",
  tokens: HTTP2_TOKENS,
  bytesMax: 2_048,
  async run(input) {
    const us = await ours(input);
    const them = await theirs(input);
    const both = Math.min(us.requests.length, them.requests.length);
    const same = us.requests.filter((our) => them.requests.some((their) => isSame(our, their))).length;
    if (us.trouble === "" && them.trouble === "") {
      assert.deepEqual(us.requests, them.requests, "without a complaint on either side, both have understood the same");
    }
    assert.ok(same === both, `${both} requests were taken by both, ${same} are the same ones`);
    return `${us.requests.length} ${them.requests.length} ${us.trouble} ${them.trouble}`;
  },
};

function isSame(our: Request, their: Request): boolean {
  return JSON.stringify(our) === JSON.stringify(their);
}
