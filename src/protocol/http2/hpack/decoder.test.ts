import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { HpackDecoder } from "./decoder.ts";
import { BAD_VALUE, FieldKind, HAS_BLANK, KIND_MASK } from "./field-kind.ts";

interface Decoded {
  error: string | undefined;
  fields: string[];
  kinds: number[];
}

function decode(decoder: HpackDecoder, bytes: string | Uint8Array): Decoded {
  const block = typeof bytes === "string" ? Buffer.from(bytes.replaceAll(" ", ""), "hex") : Buffer.from(bytes);
  const fields: string[] = [];
  const kinds: number[] = [];
  const error = decoder.decode(block, 0, block.length, {
    onField(name, value, kind) {
      fields.push(name, value);
      kinds.push(kind);
    },
  });
  return { error, fields, kinds };
}

const REQUESTS: [fields: string[], tableBytes: number][] = [
  [[":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"], 57],
  [
    [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com", "cache-control", "no-cache"],
    110,
  ],
  [
    [
      ":method",
      "GET",
      ":scheme",
      "https",
      ":path",
      "/index.html",
      ":authority",
      "www.example.com",
      "custom-key",
      "custom-value",
    ],
    164,
  ],
];

const DATE = "Mon, 21 Oct 2013 20:13:21 GMT";
const LATER = "Mon, 21 Oct 2013 20:13:22 GMT";
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const PLACE = "https://www.example.com";
const RESPONSES: [fields: string[], tableBytes: number][] = [
  [[":status", "302", "cache-control", "private", "date", DATE, "location", PLACE], 222],
  [[":status", "307", "cache-control", "private", "date", DATE, "location", PLACE], 222],
  [
    `:status 200|cache-control private|date ${LATER}|location ${PLACE}|content-encoding gzip|set-cookie ${COOKIE}`
      .split("|")
      .flatMap((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
    215,
  ],
];

const literal = (name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([0x40, name.length]),
    Buffer.from(name, "latin1"),
    Buffer.from([value.length]),
    Buffer.from(value, "latin1"),
  ]);

describe("HpackDecoder", () => {
  it("reads the single fields of RFC 7541 C.2", () => {
    const decoder = new HpackDecoder();
    const block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    assert.deepEqual(decode(decoder, block).fields, ["custom-key", "custom-header"]);
    assert.equal(decoder.tableBytes, 55);
    assert.deepEqual(decode(decoder, "040c 2f73 616d 706c 652f 7061 7468").fields, [":path", "/sample/path"]);
    assert.deepEqual(decode(decoder, "82").fields, [":method", "GET"]);
    assert.equal(decoder.tableBytes, 55);
  });

  for (const [name, blocks] of [
    [
      "C.3, raw",
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4, Huffman",
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
  ] as [string, string[]][]) {
    it(`reads the requests of RFC 7541 ${name}`, () => {
      const decoder = new HpackDecoder();
      blocks.forEach((block, i) => {
        const [fields, tableBytes] = REQUESTS[i] as [string[], number];
        assert.deepEqual(decode(decoder, block).fields, fields);
        assert.equal(decoder.tableBytes, tableBytes);
      });
    });
  }

  for (const [name, blocks] of [
    [
      "C.5, raw",
      [
        `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
        "4803 3330 37c1 c0bf",
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31`,
      ],
    ],
    [
      "C.6, Huffman",
      [
        `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
         8f0b 97c8 e9ae 82ae 43d3`,
        "4883 640e ffc1 c0bf",
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
      ],
    ],
  ] as [string, string[]][]) {
    it(`reads the responses of RFC 7541 ${name}, with eviction`, () => {
      const decoder = new HpackDecoder(256);
      blocks.forEach((block, i) => {
        const [fields, tableBytes] = RESPONSES[i] as [string[], number];
        assert.deepEqual(decode(decoder, block.replace(/\s+/g, "")).fields, fields);
        assert.equal(decoder.tableBytes, tableBytes);
      });
    });
  }

  for (const [what, block] of [
    ["index 0", "80"],
    ["an index after the tables' end", "be"],
    ["a name index after the tables' end", "7e 0161"],
    ["an index that is cut off", "ff"],
    ["a value that is cut off", "4103 6161"],
    ["a name that is cut off", "40"],
    ["a value with broken Huffman code", "4181 ff"],
    ["a size update after a field", "82 20"],
    ["a size update above what was allowed", "3fe2 1f"],
  ] as [string, string][]) {
    it(`refuses ${what}`, () => assert.notEqual(decode(new HpackDecoder(), block).error, undefined));
  }

  it("takes size updates at a block's beginning, more than one, and evicts at once", () => {
    const decoder = new HpackDecoder();
    decode(decoder, "4001 6101 62");
    assert.equal(decoder.tableBytes, 34);
    assert.equal(decode(decoder, "20 3fe11f 82").error, undefined);
    assert.equal(decoder.tableBytes, 0);
  });

  it("empties the table for an entry larger than it, and goes on", () => {
    const decoder = new HpackDecoder(64);
    decode(decoder, "4001 6101 62");
    const large = Buffer.concat([Buffer.from("400161", "hex"), Buffer.from([60]), Buffer.alloc(60, "x")]);
    assert.deepEqual(decode(decoder, large).fields, ["a", "x".repeat(60)]);
    assert.equal(decoder.tableBytes, 0);
    assert.notEqual(decode(decoder, "be").error, undefined);
  });

  it("never throws and keeps its table's bound, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }), (blocks) => {
        const decoder = new HpackDecoder(128);
        for (const block of blocks) {
          decode(decoder, block);
          assert.ok(decoder.tableBytes <= 128);
        }
      }),
    );
  });

  it("knows what a field is, also when it comes as an index later", () => {
    const decoder = new HpackDecoder();
    for (const [name, value, kind] of [
      ["x-fine", "a b", FieldKind.regular | HAS_BLANK],
      ["x-fine", "", FieldKind.regular],
      ["x-fine", " a", FieldKind.regular | HAS_BLANK | BAD_VALUE],
      ["x-fine", "a\t", FieldKind.regular | HAS_BLANK | BAD_VALUE],
      ["x-fine", "a\r\nb", FieldKind.regular | HAS_BLANK | BAD_VALUE],
      ["x-fine", "a\0b", FieldKind.regular | HAS_BLANK | BAD_VALUE],
      ["x-fine", "\u00e9", FieldKind.regular | HAS_BLANK],
      [":path", "/\u00e9", FieldKind.path | HAS_BLANK],
      ["X-Upper", "a", FieldKind.invalid],
      ["x y", "a", FieldKind.invalid],
      ["", "a", FieldKind.invalid],
      [":other", "a", FieldKind.unknownPseudo],
      [":path", "/", FieldKind.path],
      ["connection", "close", FieldKind.forbidden],
      ["transfer-encoding", "chunked", FieldKind.forbidden],
      ["te", "gzip", FieldKind.te],
    ] as [string, string, number][]) {
      const first = decode(decoder, literal(name, value));
      assert.deepEqual(first.kinds, [kind], `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
      assert.deepEqual(decode(decoder, "be"), first);
      // The name by index with another value: the flaws are the new value's.
      assert.deepEqual(decode(decoder, "0f2f 0161").kinds, [kind & KIND_MASK]);
    }
  });
});
