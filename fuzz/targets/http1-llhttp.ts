/**
 * Our HTTP/1 server beside Node's (llhttp, strict): what both take means the same, with the same boundaries. Where one
 * refuses what the other takes, the reason is one of those written down here.
 */
import assert from "node:assert/strict";
import http from "node:http";

import { defaultHttpLimits } from "../../src/protocol/limits.ts";
import type { Http1ServerStream } from "../../src/protocol/http1/server-stream.ts";
import type { Target } from "../target.ts";
import { serve } from "./http1-server.ts";
import { HTTP1_TOKENS } from "./http1-tokens.ts";
import { MemoryDuplex, settled } from "./memory-duplex.ts";

interface Request {
  readonly method: string;
  readonly target: string;
  /** Names and values by turns. */
  readonly headers: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  /** No request follows on this connection. */
  readonly closes: boolean;
}

/** What we refuse and llhttp takes: kinds of our faults. */
const STRICTER: Readonly<Record<string, string>> = {
  bad_host: "Node passes any Host on, and more than one",
  bad_request_target: "llhttp takes fragments, obs-text, and targets of any form with any method",
  bad_request_line: "llhttp takes methods longer than ours and more than one empty line before a request",
  bad_line_end: "llhttp skips CR and LF in any order before a request",
  bad_version: "llhttp takes HTTP/0.9 and HTTP/2.0 in a request line",
  bad_transfer_encoding: "Node takes any coding before chunked, and Transfer-Encoding in HTTP/1.0",
  bad_chunk_size: "llhttp takes sizes of more digits than ours",
  bad_chunk_extension: "llhttp takes extensions of other lengths and characters",
  truncated_head: "a FIN within a head is an error for us; Node just closes",
};

/** Trailers that would frame the message: we drop them, as RFC 9110 §6.5.1 allows. llhttp reads them like a head's. */
const FRAMING_TRAILER = /\r\n0+(?:;[^\r\n]*)?\r\n[^]*?(?:content-length|transfer-encoding):/i;

/** What llhttp refuses and we take: its error codes. */
const LOOSER: Readonly<Record<string, string>> = {
  HPE_INVALID_METHOD: "llhttp knows a list of methods; to us every token is one, as RFC 9110 has it",
  HPE_INVALID_CONSTANT: "llhttp: the same, found at a later letter",
  HPE_CLOSED_CONNECTION: "bytes behind a request that closes: we throw them away, llhttp calls them an error",
  HPE_INVALID_URL: "llhttp parses absolute targets further than we do, who only need their authority",
  HPE_PAUSED_H2_UPGRADE: "the preface of HTTP/2, which llhttp stops at",
  ERR_HTTP_REQUEST_TIMEOUT: "not reached: there is no time",
};

async function ours(input: Buffer): Promise<{ requests: Request[]; refused: string }> {
  const { requests, faults } = await serve([input]);
  const whole = requests
    .filter(({ end, body, head }) => end || body.ended || (head.upgrade !== "" && body.reset === undefined))
    .map(({ head, body, stream }) => ({
      method: head.method,
      target: head.path === "" ? head.authority : head.path,
      headers: head.headers,
      body: body.text,
      trailers: body.trailers ?? [],
      closes: !(stream as Http1ServerStream).keepAlive,
    }));
  return { requests: whole, refused: faults[0] ?? "" };
}

async function theirs(input: Buffer): Promise<{ requests: Request[]; refused: string }> {
  const requests: Request[] = [];
  let refused = "";
  const take = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => {});
    request.on("end", () => {
      requests.push({
        method: request.method ?? "",
        target: request.url ?? "",
        headers: request.rawHeaders,
        body: Buffer.concat(chunks).toString("latin1"),
        trailers: request.rawTrailers,
        closes: request.httpVersion === "1.0" || /close/i.test(request.headers.connection ?? ""),
      });
      response.end();
    });
  };
  const server = http.createServer(
    {
      insecureHTTPParser: false,
      maxHeaderSize: defaultHttpLimits.headBytes,
      // We decline them all in this target, too.
      shouldUpgradeCallback: () => false,
    },
    take,
  );
  server.on("checkContinue", take);
  server.on("checkExpectation", take);
  // The socket is left open, so that requests before the error still end.
  server.on("clientError", (error: NodeJS.ErrnoException) => (refused ||= error.code ?? error.message));
  const socket = new MemoryDuplex(input);
  server.emit("connection", socket);
  await settled();
  socket.destroy();
  server.close();
  return { requests, refused };
}

/** The target in origin form, for comparison: of an absolute form what follows the authority. */
function originForm({ method, target }: Request): string {
  const absolute = /^https?:\/\/[^/?]*([/?]?.*)$/i.exec(target);
  if (absolute === null) return target;
  const rest = absolute[1] as string;
  if (rest === "") return method === "OPTIONS" ? "*" : "/";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** Each of our fields is one of theirs, in the same order; a Host may have been corrected by the target. */
function agree(ourFields: readonly string[], theirFields: readonly string[]): boolean {
  let at = 0;
  for (let i = 0; i < ourFields.length; i += 2) {
    const name = ourFields[i] as string;
    const lower = name.toLowerCase();
    const rewritten = lower === "host" || lower === "te";
    while (at < theirFields.length) {
      if (theirFields[at] === name && (rewritten || theirFields[at + 1] === ourFields[i + 1])) break;
      at += 2;
    }
    if (at >= theirFields.length) return false;
    at += 2;
  }
  return true;
}

function asksForUpgrade({ headers }: Request): boolean {
  return headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === "upgrade");
}

export const http1Llhttp: Target = {
  name: "http1-llhttp",
  tokens: HTTP1_TOKENS,
  bytesMax: 2_048,
  async run(input) {
    const us = await ours(input);
    const them = await theirs(input);
    const text = input.toString("latin1");
    // Behind a CONNECT begins a tunnel, which Node leaves to others.
    const tunnel = [us, them].map(({ requests }) => requests.findIndex(({ method }) => method === "CONNECT"));
    const until = Math.min(...tunnel.map((at) => (at < 0 ? Number.POSITIVE_INFINITY : at)));
    const both = Math.min(us.requests.length, them.requests.length, until);
    for (let i = 0; i < both; i++) {
      const our = us.requests[i] as Request;
      const their = them.requests[i] as Request;
      assert.equal(our.method, their.method, `request ${i} has the same method`);
      assert.equal(our.target, originForm(their), `request ${i} has the same target`);
      assert.equal(our.body, their.body, `request ${i} has the same body`);
      assert.ok(agree(our.headers, their.headers), `request ${i} has the same fields`);
      assert.ok(agree(our.trailers, their.trailers), `request ${i} has the same trailers`);
    }
    if (until === both) return `tunnel ${both}`;
    const next = them.requests[both];
    if (them.requests.length > both) {
      const last = us.requests[both - 1];
      const closed = us.refused === "" && last?.closes === true;
      assert.ok(
        us.refused in STRICTER || closed,
        `we refuse what llhttp takes: ${us.refused} (${next?.method} ${next?.target})`,
      );
      return `stricter ${both} ${us.refused}`;
    }
    if (us.requests.length > both) {
      const last = them.requests[both - 1];
      const known =
        them.refused in LOOSER ||
        (/LENGTH|ENCODING/.test(them.refused) && FRAMING_TRAILER.test(text)) ||
        // Node says nothing of a broken request behind one that asked for an upgrade and was declined.
        (them.refused === "" && last !== undefined && asksForUpgrade(last));
      assert.ok(known, `llhttp refuses what we take: ${them.refused}`);
      return `looser ${both} ${them.refused}`;
    }
    return `same ${both} ${us.refused} ${them.refused}`;
  },
};
