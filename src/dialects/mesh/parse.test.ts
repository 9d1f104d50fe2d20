import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { formatDiagnostic } from "../diagnostic.ts";
import { YAML_BYTES_MAX } from "../yaml-document.ts";
import { parseMeshFile } from "./parse.ts";
import { meshJsonSchema } from "./schema.ts";

function lines(...text: string[]): string {
  return `${text.join("\n")}\n`;
}

function service(...text: string[]): string {
  return lines("services:", "  price:", "    run: node price.ts", ...text.map((line) => `    ${line}`));
}

/** The protocols of the ports of a service that is described so. */
function protocols(...text: string[]): string[] | undefined {
  return parseMeshFile(service(...text), "/w/mesh.yaml").meshFile?.services[0]?.ports.map(({ protocol }) => protocol);
}

describe("parseMeshFile", () => {
  it("fills in every default", () => {
    const { meshFile, diagnostics } = parseMeshFile(service(), "/work/My Shop/mesh.yaml");
    assert.deepEqual(diagnostics, []);
    assert.deepEqual(meshFile, {
      file: "/work/My Shop/mesh.yaml",
      name: "my-shop",
      namespace: "default",
      services: [
        {
          name: "price",
          command: ["/bin/sh", "-c", "node price.ts"],
          directory: "/work/My Shop",
          ports: [{ name: "http", port: 80, protocol: "detect", env: "PORT" }],
          upstreams: [],
          env: {},
          labels: {},
          instances: [{ name: "price-1", env: {}, labels: {} }],
          ready: "",
        },
      ],
      resourcePaths: [],
      policy: { default: "all-unauthenticated", trustDomain: "cluster.local", authorizers: [] },
    });
  });

  it("reads every field", () => {
    const text = lines(
      "# yaml-language-server: $schema=../schema/mesh.schema.json",
      "name: shop",
      "namespace: store",
      "services:",
      "  product: { run: [node, product.ts], port: 8080, protocol: http, instances: 2 }",
      "  price:",
      "    run: [node, price.ts, '--fast']",
      "    directory: ./price",
      "    ports:",
      "      - { port: 80, protocol: http2 }",
      "      - { name: admin-ui, port: 81 }",
      "      - { name: raw, port: 82, protocol: opaque, env: RAW_PORT }",
      "    upstreams: [product, 'product:8080', product.store.svc.cluster.local]",
      "    env: &common { CURRENCY: EUR, VERSION: 1.10, BIG: 12345678901234567890, ON: True, HEX: 0x1F, EMPTY: '' }",
      "    labels: { team: money, version: 2 }",
      "    ready: /healthz?full=1",
      "    instances:",
      "      - name: price-blue",
      "      - env: { DELAY_MS: '80' }",
      "        labels: { version: v2 }",
      "  worker: { run: work, ports: [], env: *common }",
    );
    const { meshFile, diagnostics } = parseMeshFile(text, "/srv/mesh.yaml");
    assert.deepEqual(diagnostics, []);
    const common = {
      CURRENCY: "EUR",
      VERSION: "1.10",
      BIG: "12345678901234567890",
      ON: "True",
      HEX: "0x1F",
      EMPTY: "",
    };
    assert.equal(meshFile?.name, "shop");
    assert.equal(meshFile?.namespace, "store");
    assert.deepEqual(
      meshFile?.services.map(({ name, instances }) => [name, instances.map((instance) => instance.name)]),
      [
        ["product", ["product-1", "product-2"]],
        ["price", ["price-blue", "price-2"]],
        ["worker", ["worker-1"]],
      ],
    );
    assert.deepEqual(meshFile?.services[0]?.ports, [{ name: "http", port: 8080, protocol: "http", env: "PORT" }]);
    assert.deepEqual(meshFile?.services[1], {
      name: "price",
      command: ["node", "price.ts", "--fast"],
      directory: "/srv/price",
      ports: [
        { name: "http", port: 80, protocol: "http2", env: "PORT" },
        { name: "admin-ui", port: 81, protocol: "detect", env: "PORT_ADMIN_UI" },
        { name: "raw", port: 82, protocol: "opaque", env: "RAW_PORT" },
      ],
      upstreams: ["product", "product:8080", "product.store.svc.cluster.local"],
      env: common,
      labels: { team: "money", version: "2" },
      instances: [
        { name: "price-blue", env: {}, labels: {} },
        { name: "price-2", env: { DELAY_MS: "80" }, labels: { version: "v2" } },
      ],
      ready: "/healthz?full=1",
    });
    assert.deepEqual(meshFile?.services[2]?.ports, []);
    assert.deepEqual(meshFile?.services[2]?.env, common);
  });

  it("takes well-known ports for opaque, unless told otherwise, and knows appProtocol", () => {
    assert.deepEqual(protocols("port: 6379"), ["opaque"]);
    assert.deepEqual(protocols("port: 6379", "protocol: detect"), ["detect"]);
    assert.deepEqual(protocols("port: 6380"), ["detect"]);
    assert.deepEqual(protocols("protocol: linkerd.io/opaque"), ["opaque"]);
    assert.deepEqual(
      protocols(
        "ports:",
        "  - { port: 80 }",
        "  - { name: sql, port: 5432 }",
        "  - { name: mail, port: 25, protocol: http }",
        "  - { name: rpc, port: 90, protocol: kubernetes.io/h2c }",
      ),
      ["detect", "opaque", "http", "http2"],
    );
  });

  it("gives the file with its warnings", () => {
    const text = service("upstreams: [prise, other.shop, 'price:81', worker]") + "  worker: { run: w, ports: [] }\n";
    const { meshFile, diagnostics } = parseMeshFile(text, "m.yaml");
    assert.ok(meshFile);
    assert.deepEqual(diagnostics.map(formatDiagnostic), [
      'm.yaml:4:17: warning: services.price.upstreams[0]: no service of this file is called prise (did you mean "price"?)',
      "m.yaml:4:24: warning: services.price.upstreams[1]: no service of this file is called other.shop (it answers once something registers it)",
      "m.yaml:4:36: warning: services.price.upstreams[2]: price has no port 81 (it has 80)",
      "m.yaml:4:48: warning: services.price.upstreams[3]: worker has no ports, so it cannot be called",
    ]);
  });

  it("does not warn about upstreams of a service that has errors of its own", () => {
    const { diagnostics } = parseMeshFile(service("upstreams: [cart]") + "  cart: { rum: x }\n", "m.yaml");
    assert.deepEqual(
      diagnostics.map(({ field }) => field),
      ["services.cart.run", "services.cart.rum"],
    );
  });

  it("reports everything at once, in the order of the text", () => {
    const text = lines(
      "nmae: shop",
      "services:",
      "  price:",
      "    port: http",
      "    instances: [{ name: a }, { name: a, wieght: 2 }]",
      "  cart: { run: cart, instances: [{ name: b }, { name: b }], ports: [{ port: 1 }, { port: 1 }] }",
    );
    assert.deepEqual(
      parseMeshFile(text, "m.yaml").diagnostics.map(({ line, column, field }) => `${line}:${column} ${field}`),
      [
        "1:1 nmae",
        "3:3 services.price.run",
        "4:11 services.price.port",
        "5:41 services.price.instances[1].wieght",
        "6:55 services.cart.instances[1].name",
        "6:82 services.cart.ports[1].name",
        "6:90 services.cart.ports[1].port",
      ],
    );
  });

  it("survives nesting without end", () => {
    const { diagnostics } = parseMeshFile(`services: ${"[".repeat(100_000)}`, "m.yaml");
    assert.deepEqual(
      diagnostics.map(({ message }) => message),
      ["the document is nested too deeply"],
    );
  });

  it("reports only the first of very many syntax errors", () => {
    assert.equal(parseMeshFile("a: 'x' y\n".repeat(1000), "m.yaml").diagnostics.length, 20);
  });

  it("never throws, whatever the text, and gives a file or an error", () => {
    const word = fc.constantFrom(
      "services:",
      "price:",
      "run:",
      "x",
      "-",
      "[",
      "]",
      "{",
      "}",
      ":",
      "&a",
      "*a",
      "'",
      '"',
      "|",
      "\n",
      "  ",
      "\t",
      "? ",
      "<<:",
      "!!int",
      "---",
      "# ",
      "1",
      "null",
      "__proto__:",
      "%",
      "@",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(word, { maxLength: 40 }).map((words) => words.join(" ")),
          fc.string(),
        ),
        (text) => {
          const { meshFile, diagnostics } = parseMeshFile(text, "m.yaml");
          const errors = diagnostics.filter(({ severity }) => severity === "error");
          assert.equal(meshFile === undefined, errors.length > 0);
          for (const { line, column, message } of diagnostics) {
            assert.ok(line >= 1 && column >= 1 && message !== "");
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

const bomb = lines(
  "services:",
  "  a: &a0 [x, x, x, x, x, x, x, x, x, x]",
  ...Array.from(
    { length: 8 },
    (_, i) => `  b${i}: &a${i + 1} [${Array.from({ length: 10 }, () => `*a${i}`).join(", ")}]`,
  ),
);

/** What is wrong, the text, and the diagnostics as `line:column: field: message (hint)`. */
const bad: readonly [what: string, text: string, ...expected: string[]][] = [
  ["an empty file", "", '1:1: : the file is empty; expected a mapping with "services"'],
  ["only a comment", "# soon\n", '1:1: : the file is empty; expected a mapping with "services"'],
  ["a list", "- a\n", '1:1: : expected a mapping with "services"; found a list'],
  ["a text", "hello\n", '1:1: : expected a mapping with "services"; found "hello"'],
  ["no services", "name: shop\n", "1:1: services: missing; expected a mapping of names to services, with at least one"],
  [
    "services without content",
    "name: shop\nservices:\n",
    "2:1: services: expected a mapping of names to services, with at least one; found nothing",
  ],
  [
    "an empty mapping of services",
    "services: {}\n",
    "1:11: services: expected a mapping of names to services, with at least one; found an empty mapping",
  ],
  [
    "two documents",
    "services:\n  a: { run: x }\n---\nservices:\n",
    "3:1: : a second document starts here; one file holds one document (put it into a file of its own)",
  ],
  [
    "a tab as indentation",
    "services:\n\ta: 1\n",
    "2:1: : a tab is used for indentation (YAML allows only spaces there)",
  ],
  [
    "wrong indentation",
    "services:\n  a:\n    run: x\n   port: 1\n",
    "4:1: : wrong indentation: all mapping items must start at the same column",
  ],
  [
    "an open quote",
    "services:\n  a: { run: 'x }\n",
    "3:1: : not valid YAML: missing closing 'quote",
    "3:1: : wrong indentation: flow map in block collection must be sufficiently indented and end with a }",
  ],
  [
    "an open list",
    "services:\n  a: { run: [x }\n",
    "2:16: : wrong indentation: flow sequence in block collection must be sufficiently indented and end with a ]",
    "2:17: : wrong indentation: flow map in block collection must be sufficiently indented and end with a }",
  ],
  [
    "a colon in plain text",
    "services:\n  a:\n    run: echo a: b\n",
    '3:10: : not valid YAML: nested mappings are not allowed in compact mappings (a value with ": " in it needs quotes)',
  ],
  [
    "an @ in front",
    "services:\n  a: @b\n",
    "2:6: : plain value cannot start with reserved character @ (put quotes around it)",
  ],
  ["an unknown tag", "services: !mesh {}\n", "1:11: : unresolved tag: !mesh (tags are not used here)"],
  [
    "a duplicate key",
    "services:\n  a: { run: x }\n  a: { run: y }\n",
    '3:3: services.a: "a" is written twice; the first time on line 2',
  ],
  ["a key that is no text", "services:\n  ? [a]\n  : 1\n", "2:5: services: a key must be plain text"],
  [
    "a merge key",
    "services:\n  a: &a { run: x }\n  b:\n    <<: *a\n",
    '4:5: services.b["<<"]: merge keys (<<) are not read (write the fields out, or repeat a value with an alias)',
  ],
  ["an alias without anchor", "services:\n  a: *b\n", "2:6: services.a: the alias *b has no anchor &b above it"],
  ["an alias in itself", "services:\n  a: &a [*a]\n", "2:10: services.a[0]: the alias *a contains itself"],
  [
    "an alias bomb",
    bomb,
    "7:12: services.b4[0]: the file expands to more than 200000 values (aliases that repeat aliases grow without bound)",
  ],
  [
    "nesting",
    `services: ${"[".repeat(65)}${"]".repeat(65)}`,
    `1:75: services${"[0]".repeat(64)}: nested more than 64 levels deep`,
  ],
  [
    "more values than are read",
    `services: [${"x,".repeat(200_000)}]`,
    "1:400008: services[199998]: the file expands to more than 200000 values",
  ],
  [
    "a file that is too large",
    `# ${"x".repeat(YAML_BYTES_MAX)}`,
    "1:1: : the file has 1048578 bytes; at most 1048576 are read (split it into several files)",
  ],
  [
    "an unknown key at the top",
    "nam: a\nservices: { a: { run: x } }\n",
    '1:1: nam: unknown key "nam" (did you mean "name"?)',
  ],
  [
    "an unknown key that is near none",
    "volumes: {}\nservices: { a: { run: x } }\n",
    '1:1: volumes: unknown key "volumes" (known here: name, namespace, services, resources, policy)',
  ],
  [
    "a prototype's name",
    service("__proto__: {}"),
    '4:5: services.price.__proto__: unknown key "__proto__" (known here: run, directory, port, protocol, ports, upstreams, env, labels, ready, instances)',
  ],
  [
    "an unknown key of a service",
    service("upstream: [a]"),
    '4:5: services.price.upstream: unknown key "upstream" (did you mean "upstreams"?)',
  ],
  [
    "an unknown key of a port",
    service("ports:", "  - prot: 1", "    port: 2"),
    '5:9: services.price.ports[0].prot: unknown key "prot" (did you mean "port"?)',
  ],
  [
    "an unknown key of an instance",
    service("instances: [{ nmae: a }]"),
    '4:19: services.price.instances[0].nmae: unknown key "nmae" (did you mean "name"?)',
  ],
  [
    "a service without run",
    "services:\n  price:\n    port: 80\n",
    "2:3: services.price.run: missing; expected a command: text for /bin/sh, or a list of a program and its arguments (Heddle cannot join services yet that it does not start itself)",
  ],
  [
    "an empty service",
    "services:\n  price:\n",
    '2:3: services.price: expected a mapping with at least "run"; found nothing',
  ],
  [
    "an empty command",
    "services:\n  a: { run: '' }\n",
    '2:13: services.a.run: expected a command: text for /bin/sh, or a list of a program and its arguments; found ""',
  ],
  [
    "an empty list as command",
    "services:\n  a: { run: [] }\n",
    "2:13: services.a.run: expected a command: text for /bin/sh, or a list of a program and its arguments; found an empty list",
  ],
  [
    "a number among the arguments",
    "services:\n  a: { run: [sleep, 5] }\n",
    "2:21: services.a.run[1]: expected text; found 5",
  ],
  [
    "NUL in a command",
    'services:\n  a: { run: "x\\0" }\n',
    '2:13: services.a.run: expected a command: text for /bin/sh, or a list of a program and its arguments without NUL characters; found "x\\u0000"',
  ],
  [
    "a service name in capitals",
    "services:\n  Price: { run: x }\n",
    '2:3: services.Price: expected the name of a service: small letters, digits and "-", at most 63 characters; found "Price"',
  ],
  [
    "a port that is text",
    service("port: http"),
    '4:11: services.price.port: expected a port number, 1 to 65535; found "http"',
  ],
  ["port 0", service("port: 0"), "4:11: services.price.port: expected a port number, 1 to 65535; found 0"],
  ["port 65536", service("port: 65536"), "4:11: services.price.port: expected a port number, 1 to 65535; found 65536"],
  ["half a port", service("port: 80.5"), "4:11: services.price.port: expected a port number, 1 to 65535; found 80.5"],
  [
    "a port without number",
    service("ports: [{ name: http }]"),
    "4:13: services.price.ports[0].port: missing; expected a port number, 1 to 65535",
  ],
  [
    "an unknown protocol",
    service("protocol: htp"),
    '4:15: services.price.protocol: expected one of "detect", "http", "http2", "grpc", "opaque"; found "htp"',
  ],
  [
    "port and ports",
    service("port: 80", "ports: [{ port: 81 }]"),
    '4:5: services.price.port: "port" and "ports" do not go together (move it into "ports", or leave "ports" out)',
  ],
  [
    "protocol and ports",
    service("ports: [{ port: 81 }]", "protocol: http"),
    '5:5: services.price.protocol: "protocol" and "ports" do not go together (move it into "ports", or leave "ports" out)',
  ],
  [
    "a second port without name",
    service("ports: [{ port: 1 }, { port: 2 }]"),
    "4:26: services.price.ports[1].name: missing; every port after the first one needs a name",
  ],
  [
    "a port name twice",
    service("ports: [{ name: a, port: 1 }, { name: a, port: 2, env: X }]"),
    "4:43: services.price.ports[1].name: the port name a is already used by the port on line 4",
  ],
  [
    "a port number twice",
    service("ports:", "  - port: 1", "  - { name: b, port: 1 }"),
    "6:26: services.price.ports[1].port: the port number 1 is already used by the port on line 5",
  ],
  [
    "a port variable twice",
    service("ports: [{ port: 1 }, { name: b, port: 2, env: PORT }]"),
    "4:51: services.price.ports[1].env: the variable PORT is already used by the port on line 4",
  ],
  [
    "too many ports",
    service(`ports: [${Array.from({ length: 65 }, (_, i) => `{ name: p${i}, port: ${i + 1} }`).join(", ")}]`),
    "4:12: services.price.ports: expected at most 64 ports; found a list",
  ],
  [
    "an upstream in capitals",
    service("upstreams: [Price]"),
    '4:17: services.price.upstreams[0]: expected the name of a service, like "price", "price.shop" or "price:80"; found "Price"',
  ],
  [
    "an upstream that is a text",
    service("upstreams: price"),
    '4:16: services.price.upstreams: expected a list of the names of services; found "price"',
  ],
  [
    "an upstream twice",
    service("upstreams: [price, price]"),
    "4:24: services.price.upstreams[1]: the upstream price is listed twice",
  ],
  [
    "an upstream with a wild port",
    service("upstreams: ['price:99999']"),
    "4:17: services.price.upstreams[0]: expected a port number, 1 to 65535; found 99999",
    "4:17: services.price.upstreams[0]: price has no port 99999 (it has 80)",
  ],
  [
    "an empty variable",
    service("env:", "  CURRENCY:"),
    "5:7: services.price.env.CURRENCY: expected text, a number, true or false; found nothing",
  ],
  [
    "a variable that is a list",
    service("env: { A: [1] }"),
    "4:15: services.price.env.A: expected text, a number, true or false; found a list",
  ],
  [
    "variables as a list",
    service("env: [A=1]"),
    "4:10: services.price.env: expected a mapping of names to text, a number, true or false; found a list",
  ],
  [
    "a variable's name with a dash",
    service("env: { A-B: x }"),
    '4:12: services.price.env.A-B: expected the name of an environment variable, like "PORT"; found "A-B"',
  ],
  [
    "a variable that Heddle sets",
    service("env: { PORT: 3000 }"),
    '4:12: services.price.env.PORT: PORT is set by Heddle: it tells the program where to listen (Heddle chooses the port; read it from PORT, or name another variable with "env" in "ports")',
  ],
  [
    "the same in an instance",
    service("instances: [{ env: { PORT: 3000 } }]"),
    '4:26: services.price.instances[0].env.PORT: PORT is set by Heddle: it tells the program where to listen (Heddle chooses the port; read it from PORT, or name another variable with "env" in "ports")',
  ],
  [
    "a label's name with a blank",
    service("labels: { 'a b': x }"),
    '4:15: services.price.labels["a b"]: expected the name of a label, like "version"; found "a b"',
  ],
  [
    "no instance",
    service("instances: 0"),
    "4:16: services.price.instances: expected a number of instances, 1 to 100, or a list of them; found 0",
  ],
  [
    "an empty list of instances",
    service("instances: []"),
    "4:16: services.price.instances: expected a number of instances, 1 to 100, or a list of them; found an empty list",
  ],
  [
    "too many instances",
    service("instances: 101"),
    "4:16: services.price.instances: expected a number of instances, 1 to 100, or a list of them; found 101",
  ],
  [
    "instances as text",
    service("instances: two"),
    '4:16: services.price.instances: expected a number of instances, 1 to 100, or a list of them; found "two"',
  ],
  [
    "an instance name twice",
    service("instances:", "  - name: a", "  - name: a"),
    "6:15: services.price.instances[1].name: the instance name a is already used on line 5",
  ],
  [
    "an instance name twice in two services",
    service("instances: [{ name: cart-1 }]") + "  cart: { run: x, instances: 2 }\n",
    "5:30: services.cart.instances: the instance name cart-1 is already used on line 4",
  ],
  [
    "an instance name that is too long",
    `services:\n  ${"a".repeat(62)}: { run: x }\n`,
    `2:3: services.${"a".repeat(62)}.instances: the instance name ${"a".repeat(62)}-1 has 64 characters; at most 63 are possible`,
  ],
  [
    "a ready path without slash",
    service("ready: healthz"),
    '4:12: services.price.ready: expected a path that starts with "/", like "/healthz"; found "healthz"',
  ],
  [
    "ready without ports",
    service("ports: []", "ready: /"),
    "5:12: services.price.ready: a service without ports cannot be asked whether it is ready",
  ],
  [
    "a namespace that is a number",
    "namespace: 1\nservices: { a: { run: x } }\n",
    '1:12: namespace: expected a namespace: small letters, digits and "-", at most 63 characters; found 1',
  ],
  [
    "long text",
    service(`ready: ${"x".repeat(60)}`),
    `4:12: services.price.ready: expected a path that starts with "/", like "/healthz"; found "${"x".repeat(40)}…"`,
  ],
];

describe("bad mesh files", () => {
  for (const [what, text, ...expected] of bad) {
    it(what, () => {
      const { meshFile, diagnostics } = parseMeshFile(text, "m.yaml");
      assert.equal(meshFile, undefined);
      assert.deepEqual(
        diagnostics.map(({ line, column, field, message, hint }) => {
          return `${line}:${column}: ${field}: ${message}${hint === "" ? "" : ` (${hint})`}`;
        }),
        expected,
      );
    });
  }
});

describe("schema/mesh.schema.json", () => {
  it("is up to date (else run scripts/schema.ts)", () => {
    const committed = readFileSync(new URL("../../../schema/mesh.schema.json", import.meta.url), "utf8");
    assert.deepEqual(JSON.parse(committed), JSON.parse(meshJsonSchema()));
  });
});
