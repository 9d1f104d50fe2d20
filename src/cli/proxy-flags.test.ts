import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { PORT_PROTOCOLS } from "../model/service.ts";
import type { ProxyConfig } from "../proxy/config.ts";
import { LOG_LEVELS } from "../telemetry/log.ts";
import { encodeJoinToken } from "../xds/join-token.ts";
import { parseArguments } from "./arguments.ts";
import { proxy } from "./commands/proxy.ts";
import { UsageError } from "./errors.ts";
import { parseProxyFlags, proxyCommandLine } from "./proxy-flags.ts";

function parse(...words: string[]): ProxyConfig {
  return parseProxyFlags(parseArguments(proxy, ["--workload", "price-1", ...words]).flags as never);
}

/** A token as far as its form goes. */
const TOKEN = encodeJoinToken({ id: "id", secret: "secret", roots: [Uint8Array.of(0x30, 0)] });

/** The identity of a sidecar with a token. */
function identityOf(...words: string[]): ProxyConfig["identity"] {
  const { flags } = parseArguments(proxy, ["--workload", "price-1", "--xds", "127.0.0.1:1", ...words]);
  return parseProxyFlags(flags as never, TOKEN).identity;
}

/** The protocol of an inbound port with these settings. */
function protocolOf(settings: string): string | undefined {
  return parse("--inbound", `127.0.0.1:1=127.0.0.1:6379,service=a${settings}`).inbound[0]?.protocol;
}

function plainRecord<T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/);
const address = plainRecord({ host: fc.constantFrom("127.0.0.1", "::1", "10.1.2.3"), port: fc.nat(65_535) });
const port = fc.integer({ min: 1, max: 65_535 });
const identity = plainRecord({
  trustDomain: fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join(".")),
  serviceAccount: label,
  joinToken: fc.constant(TOKEN),
});
const applicationPort = {
  target: fc.oneof(address, plainRecord({ path: fc.stringMatching(/^\/[-._a-z0-9/]{1,100}$/) })),
  service: label,
  port,
  protocol: fc.constantFrom(...PORT_PROTOCOLS),
};
const config: fc.Arbitrary<ProxyConfig> = plainRecord({
  workload: label,
  namespace: label,
  service: fc.oneof(fc.constant(""), label),
  // Without a control plane there is nobody to prove anything to.
  control: fc.option(address, { nil: undefined }),
  identity: fc.option(identity, { nil: undefined }),
  outbound: fc.option(address, { nil: undefined }),
  upstreams: fc.array(
    plainRecord({ authority: fc.tuple(label, port).map(([name, number]) => `${name}:${number}`), listen: address }),
  ),
  inbound: fc.array(plainRecord({ listen: address, ...applicationPort })),
  capture: fc.option(
    plainRecord({
      inbound: address,
      outbound: address,
      ports: fc.uniqueArray(plainRecord({ appPort: port, ...applicationPort }), { selector: ({ appPort }) => appPort }),
    }),
    { nil: undefined },
  ),
  admin: address,
  workers: fc.integer({ min: 1, max: 64 }),
  logLevel: fc.constantFrom(...LOG_LEVELS),
  logFormat: fc.constantFrom("plain", "json"),
  shutdownGraceMs: fc.nat(3_600_000),
}).map((made) => (made.control === undefined ? { ...made, identity: undefined } : made));

describe("the flags of a sidecar", () => {
  it("say any configuration, and are read as the same", () => {
    fc.assert(
      fc.property(config, (wanted) => {
        const [command, ...words] = proxyCommandLine(wanted);
        assert.equal(command, "proxy");
        assert.ok(!words.includes("token"));
        const { flags } = parseArguments(proxy, words);
        assert.deepEqual(parseProxyFlags(flags as never, wanted.identity?.joinToken), wanted);
      }),
    );
  });

  it("have the defaults that help shows", () => {
    assert.deepEqual(parse("--service", "price", "--inbound", "127.0.0.1:1=127.0.0.1:2"), {
      workload: "price-1",
      namespace: "default",
      service: "price",
      control: undefined,
      identity: undefined,
      capture: undefined,
      outbound: undefined,
      upstreams: [],
      inbound: [
        {
          listen: { host: "127.0.0.1", port: 1 },
          target: { host: "127.0.0.1", port: 2 },
          service: "price",
          port: 80,
          protocol: "detect",
        },
      ],
      admin: { host: "127.0.0.1", port: 4191 },
      workers: 1,
      logLevel: "info",
      logFormat: "plain",
      shutdownGraceMs: 120_000,
    });
  });

  it("name the identity after the service, else after the workload, if there is a token", () => {
    const trustDomain = "cluster.local";
    assert.deepEqual(identityOf(), { trustDomain, serviceAccount: "price-1", joinToken: TOKEN });
    assert.equal(identityOf("--service", "price")?.serviceAccount, "price");
    assert.equal(identityOf("--service", "price", "--service-account", "other")?.serviceAccount, "other");
    assert.equal(identityOf("--identity-trust-domain", "mesh.test")?.trustDomain, "mesh.test");
    assert.throws(() => identityOf("--identity-trust-domain", "Mesh"), UsageError);
  });

  it("take the protocol from the service's port where none is given", () => {
    assert.equal(protocolOf(",port=6379"), "opaque");
    assert.equal(protocolOf(",port=6379,protocol=detect"), "detect");
    assert.equal(protocolOf(",port=80"), "detect", "where the application listens says nothing");
    assert.equal(protocolOf(",protocol=linkerd.io/opaque"), "opaque");
  });

  it("take the port that captured calls go to for the service's where none is given", () => {
    const listeners = ["--service", "price", "--capture-inbound", "[::]:4143", "--capture-outbound", "[::]:4140"];
    const [first, second] =
      parse(...listeners, "--captured", "8080=127.0.0.1:1", "--captured", "9=127.0.0.1:1,port=80").capture?.ports ?? [];
    assert.deepEqual([first?.appPort, first?.port, second?.appPort, second?.port], [8080, 8080, 9, 80]);
  });

  const captured = ["--capture-inbound", "[::]:4143", "--capture-outbound", "[::]:4140", "--captured"];
  const wrong: [string[], RegExp][] = [
    [["--capture-inbound", "[::]:4143"], /--capture-inbound, --capture-outbound: one of them is missing/],
    [["--captured", "80=127.0.0.1:1,service=a"], /--capture-inbound, --capture-outbound: one of them is missing/],
    [[...captured, "80"], /--captured.*PORT=TARGET/],
    [[...captured, "0=127.0.0.1:1,service=a"], /--captured.*1 to 65535.*"0"/],
    [[...captured, "80=127.0.0.1:1,service=a", "--captured", "80=127.0.0.1:2,service=b"], /port 80 is given twice/],
    [["--upstream", "product"], /--upstream.*SERVICE=IP:PORT.*"product"/],
    [["--upstream", "a=127.0.0.1:1=b"], /--upstream/],
    [["--upstream", "a b=127.0.0.1:1"], /--upstream.*"a b"/],
    [["--inbound", "127.0.0.1:1"], /--inbound.*LISTEN=TARGET/],
    [["--inbound", "127.0.0.1:1=127.0.0.1:2"], /no service.*--service/],
    [["--inbound", "127.0.0.1:1=127.0.0.1:2,service=A"], /--inbound service.*"A"/],
    [["--inbound", "127.0.0.1:1=127.0.0.1:2,service=a,port=0"], /--inbound port.*"0"/],
    [["--inbound", "127.0.0.1:1=127.0.0.1:2,service=a,protocol=htp"], /--inbound protocol.*"htp".*Did you mean "http"/],
    [["--inbound", "127.0.0.1:1=127.0.0.1:2,service=a,service=b"], /service is given twice/],
    [["--inbound", "127.0.0.1:1=127.0.0.1:2,"], /service=…/],
    [["--admin", ":4191"], /--admin.*":4191"/],
    [["--log-level", "trace"], /--log-level.*"trace"/],
  ];
  for (const [words, message] of wrong) {
    it(`refuse ${words.join(" ")}`, () => {
      assert.throws(
        () => parse(...words),
        (error) => {
          assert.ok(error instanceof UsageError);
          assert.match(`${error.message} ${error.hint}`, message);
          return true;
        },
      );
    });
  }
});
