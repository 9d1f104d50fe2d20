import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { makeTestCa } from "../../test/support/identity.ts";
import { der } from "../proxy/identity/certificate-request.ts";
import {
  decodeJoinToken,
  encodeJoinToken,
  JOIN_ROOTS_MAX,
  JOIN_TOKEN_CHARACTERS_MAX,
  joinProof,
  JoinTokenError,
} from "./join-token.ts";

const word = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const sequence = fc.uint8Array({ maxLength: 700 }).map((content) => der(0x30, content));
const tokens = fc.record(
  { id: word, secret: word, roots: fc.array(sequence, { minLength: 1, maxLength: 8 }) },
  { noNullPrototype: true },
);

const SECRET = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtYmUtc2hvd24";
const ROOT = Buffer.from(der(0x30, Buffer.from("root"))).toString("base64url");

/** What is said about it. */
function refusal(text: string): string {
  try {
    decodeJoinToken(text);
  } catch (error) {
    assert.ok(error instanceof JoinTokenError);
    return error.message;
  }
  return assert.fail("it was taken");
}

describe("join token", () => {
  it("is read as it was written", () => {
    fc.assert(
      fc.property(tokens, (token) => {
        const read = decodeJoinToken(encodeJoinToken(token));
        assert.deepEqual(read, token);
        assert.equal(joinProof(read), `${token.id}.${token.secret}`);
      }),
    );
  });

  it("carries real roots", async () => {
    const roots = [await makeTestCa(), await makeTestCa()].map((ca) => new X509Certificate(ca.root.certificate).raw);
    const { roots: read } = decodeJoinToken(encodeJoinToken({ id: "a", secret: "b", roots }));
    assert.deepEqual(
      read.map((one) => new X509Certificate(one).raw),
      roots,
    );
  });

  it("is a text that needs no quotes in a shell", () => {
    fc.assert(fc.property(tokens, (token) => assert.match(encodeJoinToken(token), /^hjt1(\.[A-Za-z0-9_-]+)+$/)));
  });

  it("that was cut anywhere is refused, and nothing of it is shown", () => {
    const text = encodeJoinToken({ id: "id", secret: SECRET, roots: [der(0x30, Buffer.alloc(300, 1))] });
    for (let length = 0; length < text.length; length++) {
      const message = refusal(text.slice(0, length));
      assert.ok(!message.includes(SECRET.slice(0, 8)), message);
    }
  });

  it("garbage is refused with what was expected, and never shown", () => {
    assert.match(refusal(""), /begins with "hjt1\."/);
    assert.match(refusal(`abc.${SECRET}`), /begins with "hjt1\."/);
    assert.match(refusal(`hjt1.abc.${SECRET}`), /a part is missing/);
    assert.match(refusal(`hjt1.abc.${SECRET}.`), /root 1 in it is not base64url/);
    assert.match(refusal(`hjt1.abc.${SECRET}.${ROOT}.%%`), /root 2 in it is not base64url/);
    assert.match(refusal(`hjt1.abc.${SECRET}.${ROOT}AAAA`), /root 1 in it is not a whole certificate/);
    assert.match(refusal(`hjt1.abc.${SECRET} .${ROOT}`), /not base64url/);
    assert.match(refusal(`hjt1..${SECRET}.${ROOT}`), /not base64url/);
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string(), (before, behind) => {
        const message = refusal(`${before}.${SECRET}.${behind}!`);
        assert.ok(!message.includes(SECRET));
      }),
    );
  });

  it("has its bounds", () => {
    const root = der(0x30, Buffer.from("root"));
    const most = { id: "a", secret: SECRET, roots: Array<Uint8Array>(JOIN_ROOTS_MAX).fill(root) };
    const text = encodeJoinToken(most);
    assert.equal(decodeJoinToken(text).roots.length, JOIN_ROOTS_MAX);
    assert.match(refusal(`${text}.${ROOT}`), /at most 64 roots, found 65/);
    assert.throws(() => encodeJoinToken({ ...most, roots: [...most.roots, root] }), /1 to 64 roots, found 65/);
    assert.throws(() => encodeJoinToken({ ...most, roots: [] }), /1 to 64 roots, found 0/);
    const large = der(0x30, Buffer.alloc(JOIN_TOKEN_CHARACTERS_MAX));
    assert.throws(() => encodeJoinToken({ ...most, roots: [large] }), /at most 120000/);
    assert.match(refusal(`hjt1.${"x".repeat(JOIN_TOKEN_CHARACTERS_MAX)}`), /at most 120000 characters, found/);
  });
});
