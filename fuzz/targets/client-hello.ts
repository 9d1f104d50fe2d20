/** The ClientHello: torn anywhere it says the same, what was decided stays, and a bound is kept. */
import assert from "node:assert/strict";

import { CLIENT_HELLO_BYTES_MAX, readClientHello } from "../../src/net/client-hello.ts";
import type { Target } from "../target.ts";

export const clientHello: Target = {
  name: "client-hello",
  tokens: [
    "\x16\x03\x01",
    "\x16\x03\x03",
    "\x01\0",
    "\0\0",
    "\0\x01",
    "\x03\x03",
    "\x02\0",
    "\0\x10\0\x05\0\x03\x02h2",
    "\0\0\0\x06\0\x04\0\0\x01a",
    "price.shop.serviceaccount.identity.linkerd.cluster.local",
    "\xff\xff",
    "a".repeat(300),
  ],
  bytesMax: CLIENT_HELLO_BYTES_MAX + 100,
  run(input) {
    const whole = readClientHello(input);
    let decided: ReturnType<typeof readClientHello> = "incomplete";
    const step = 1 + Math.floor(input.length / 300);
    for (let length = 0; ; length = Math.min(length + step, input.length)) {
      const now = readClientHello(input.subarray(0, length));
      if (decided !== "incomplete") assert.deepEqual(now, decided, `${length} bytes say otherwise than fewer`);
      decided = now;
      if (length === input.length) break;
    }
    assert.deepEqual(decided, whole);
    if (whole === "incomplete") assert.ok(input.length < CLIENT_HELLO_BYTES_MAX, "it waits for no more than its bound");
    if (typeof whole === "string") return whole;
    assert.ok(whole.serverName.length <= input.length && whole.protocols.length <= input.length);
    return `hello ${whole.serverName === "" ? "of nobody" : "named"} ${Math.min(whole.protocols.length, 3)}`;
  },
};
