import assert from "node:assert/strict";
import { it } from "node:test";

import * as fc from "fast-check";

import { HpackDecoder } from "./decoder.ts";
import { writeInteger } from "./integer.ts";
import { BEFORE_VALUES_ARE_KEPT, RECENT_VALUE_OCTETS_MAX, RECENT_VALUES_MAX, RecentValues } from "./recent-values.ts";

/** So much was sent that values are kept. */
function warm(): RecentValues {
  const recent = new RecentValues();
  const bytes = Buffer.from("?");
  for (let i = 0; i <= BEFORE_VALUES_ARE_KEPT; i++) {
    assert.equal(recent.find(bytes, 0, 1, false), false);
    recent.remember(bytes, 0, 1, false, "?", 0);
  }
  return recent;
}

it("finds what it was given last for the same octets, and nothing else", () => {
  const value = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 4 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(value, { maxLength: 100 }), (values) => {
      const recent = warm();
      const texts = new Map<string, string>();
      for (const [octets, huffman] of values) {
        const bytes = Buffer.from([0xff, ...octets, 0xff]);
        if (octets[0] === 0x3f) continue;
        const key = `${huffman} ${Buffer.from(octets).toString("hex")}`;
        if (recent.find(bytes, 1, octets.length, huffman)) {
          assert.equal(recent.text, texts.get(key));
          assert.equal(recent.flaws, octets.length);
        } else {
          recent.remember(bytes, 1, octets.length, huffman, `text of ${key}`, octets.length);
          texts.set(key, `text of ${key}`);
          assert.ok(recent.find(bytes, 1, octets.length, huffman));
        }
      }
    }),
  );
});

it("keeps so many values at most", () => {
  const recent = warm();
  const values = Array.from({ length: 256 }, (_, i) => Buffer.from([i]));
  for (const bytes of values) recent.remember(bytes, 0, 1, false, "", 0);
  assert.equal(values.filter((bytes) => recent.find(bytes, 0, 1, false)).length, RECENT_VALUES_MAX);
});

it("changes nothing of what a decoder reads, whatever the form of the literal", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", " ", "\u0001"), maxLength: RECENT_VALUE_OCTETS_MAX + 2 });
  const form = fc.constantFrom([0x40, 6], [0x00, 4], [0x10, 4]);
  fc.assert(
    fc.property(fc.array(fc.tuple(form, text), { maxLength: 120 }), (fields) => {
      const decoder = new HpackDecoder();
      for (const [[pattern = 0, bits = 0], value] of fields) {
        const block = Buffer.alloc(256);
        let at = writeInteger(block, 0, bits, pattern, 0);
        at = writeInteger(block, at, 7, 0, 1);
        block[at++] = 0x78;
        at = writeInteger(block, at, 7, 0, value.length);
        at += block.write(value, at, "latin1");
        const read = (reader: HpackDecoder): unknown[] => {
          const seen: unknown[] = [];
          assert.equal(reader.decode(block, 0, at, { onField: (...field) => seen.push(field) }), undefined);
          return seen;
        };
        assert.deepEqual(read(decoder), read(new HpackDecoder()));
      }
    }),
  );
});
