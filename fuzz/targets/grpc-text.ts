/** The fields of gRPC that a sidecar reads: grpc-timeout and grpc-message. */
import assert from "node:assert/strict";

import { decodeGrpcMessage, encodeGrpcMessage, formatGrpcTimeout, parseGrpcTimeout } from "../../src/protocol/grpc.ts";
import type { Target } from "../target.ts";

/** The largest value that grpc-timeout can have: 99,999,999 hours. */
const TIMEOUT_MS_MAX = 99_999_999 * 3_600_000;

export const grpcText: Target = {
  name: "grpc-text",
  tokens: [
    "1",
    "99999999",
    "H",
    "M",
    "S",
    "m",
    "u",
    "n",
    "%",
    "%E2%82%AC",
    "%0D%0A",
    "%zz",
    "%C3",
    " ",
    "-",
    "+",
    "e9",
    ".",
  ],
  bytesMax: 256,
  run(input) {
    const text = input.toString("latin1");
    const ms = parseGrpcTimeout(text);
    if (ms !== undefined) {
      assert.ok(ms >= 0 && ms <= TIMEOUT_MS_MAX);
      const again = parseGrpcTimeout(formatGrpcTimeout(ms)) as number;
      assert.ok(again >= ms - 1e-6 && again <= ms * 1.0001 + 1e-6, `${ms} ms came back as ${again}`);
    }
    const message = decodeGrpcMessage(text);
    const encoded = encodeGrpcMessage(message);
    assert.match(encoded, /^[ -~]*$/, "nothing that could end a field");
    assert.equal(decodeGrpcMessage(encoded), message);
    return `${ms === undefined ? "none" : Math.ceil(Math.log10(ms + 1))} ${message.length === text.length} ${message.includes("\ufffd")}`;
  },
};
