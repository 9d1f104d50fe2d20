/**
 * Upgrades between the two ways of asking for one: Upgrade in HTTP/1 (RFC 9110 §7.8, and RFC 6455 for WebSocket) and
 * extended CONNECT in HTTP/2 (RFC 8441). The codecs give both one shape; what is left are the fields of the handshake that
 * exist in HTTP/1 alone, and answers that HTTP/2 has no words for.
 *
 *   asked over   sent on over   what is done
 *   HTTP/2       HTTP/1         a Sec-WebSocket-Key is made, and the Sec-WebSocket-Accept checked and taken out
 *   HTTP/1       HTTP/2         the key is taken out, and the Accept computed; what is no WebSocket goes without upgrade
 *   the same     the same       nothing
 *
 * Between two sidecars HTTP/1 is packed and the handshake passes untouched: see original.ts.
 */
import { createHash } from "node:crypto";

import type { HeaderList, RequestHead, ResetCause, ResponseHead } from "../protocol/exchange.ts";
import { getHeader, removeHeader } from "../protocol/headers.ts";
import { failureCause, failures } from "./failure.ts";

/** RFC 6455 §1.3. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Bytes of a key before it is encoded (RFC 6455 §4.1). */
const KEY_BYTES = 16;

const KEY = "sec-websocket-key";
const ACCEPT = "sec-websocket-accept";

/** A request for an upgrade as the other version of HTTP has it. */
export interface Translation {
  readonly request: RequestHead;
  /** @returns a final answer as the caller's version has it, or why it cannot be given */
  readonly answer: (head: ResponseHead) => ResponseHead | ResetCause;
}

/** For a request for an upgrade that arrived in HTTP/2. @param random uniform in [0, 1) */
export function upgradeOverHttp1(head: RequestHead, random: () => number): Translation {
  const headers = head.headers.slice();
  let accept: string | undefined;
  if (isWebSocket(head.upgrade)) {
    const key = makeKey(random);
    accept = acceptFor(key);
    removeHeader(headers, KEY);
    headers.push("Sec-WebSocket-Key", key);
  }
  return {
    request: { ...head, version: "1.1", headers },
    answer: (answer) => {
      if (answer.upgrade === "") {
        if (answer.status > 299) return answer;
        return failureCause(
          failures.unsupported,
          "protocol",
          `the server answered ${answer.status} instead of switching to ${head.upgrade}, which HTTP/2 cannot say`,
        );
      }
      if (accept === undefined) return answer;
      if (!isWebSocket(answer.upgrade)) return broken(`a switch to ${answer.upgrade}, which was not asked for`);
      if (getHeader(answer.headers, ACCEPT) !== accept) return broken("a Sec-WebSocket-Accept for another key");
      removeHeader(answer.headers, ACCEPT);
      return answer;
    },
  };
}

/** For a request for an upgrade that arrived in HTTP/1. */
export function upgradeOverHttp2(head: RequestHead): Translation {
  // RFC 9110 §7.8: an Upgrade may be ignored.
  if (head.method !== "GET" || !isWebSocket(head.upgrade)) {
    return { request: { ...head, upgrade: "" }, answer: (answer) => answer };
  }
  const headers = head.headers.slice();
  const key = getHeader(headers, KEY);
  removeHeader(headers, KEY);
  return {
    request: { ...head, headers, upgrade: WEBSOCKET },
    answer: (answer) => {
      if (answer.upgrade === "" || key === undefined) return answer;
      removeHeader(answer.headers, ACCEPT);
      const given: HeaderList = [...answer.headers, "Sec-WebSocket-Accept", acceptFor(key)];
      return { ...answer, headers: given };
    },
  };
}

/** RFC 6455 §4.2.2. */
export function acceptFor(key: string): string {
  return createHash("sha1").update(`${key}${ACCEPT_SUFFIX}`, "latin1").digest("base64");
}

const WEBSOCKET = "websocket";

function isWebSocket(upgrade: string): boolean {
  return upgrade.toLowerCase() === WEBSOCKET;
}

function makeKey(random: () => number): string {
  return Buffer.from(Array.from({ length: KEY_BYTES }, () => Math.floor(random() * 256))).toString("base64");
}

function broken(detail: string): ResetCause {
  return failureCause(failures.badAnswer, "protocol", detail);
}
