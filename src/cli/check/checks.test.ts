/** Each check, with a mesh where all is well, and with one where just that is wrong which it is about. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";

import { makeRoot } from "../../control/identity/certificates.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import type { IdentityAnswer } from "../control-client.ts";
import { CapturedOutput } from "../testing/captured-io.ts";
import { type FakeMesh, fakeWorld, NOW, sidecar, soundMesh, workload } from "../testing/fake-mesh.ts";
import { matchesGolden } from "../testing/golden.ts";
import { plain } from "../output.ts";
import { DATA_PLANE, MESH } from "./categories.ts";
import type { CheckResult } from "./check.ts";
import { REPORT_FORMS, reportOf } from "./report.ts";
import { runChecks } from "./run-checks.ts";

let sound: FakeMesh;
let otherRoot: string;
before(async () => {
  sound = await soundMesh();
  otherRoot = (await makeRoot({ notBefore: NOW - 1_000, notAfter: NOW + 1_000 })).certificate;
});

async function resultsOf(mesh: FakeMesh): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  await runChecks(MESH, {
    look: () => fakeWorld(mesh),
    clock: new VirtualClock(),
    waitMs: 0,
    onResult: (result) => results.push(result),
    onRetry: () => assert.fail("nothing is waited for"),
  });
  return results;
}

/** A self-signed certificate with a key of another kind. */
function madeByOpenssl(...key: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "heddle-check-"));
  try {
    const out = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
    const words = ["req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=other", ...out];
    execFileSync("openssl", [...words, ...key], { stdio: "ignore" });
    return readFileSync(join(folder, "cert.pem"), "utf8");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function withRoot(change: Partial<IdentityAnswer["roots"][number]>): Partial<FakeMesh> {
  const { identity } = sound;
  return { identity: { ...identity, roots: identity.roots.map((root) => ({ ...root, ...change })) } };
}

function withIssuer(change: Partial<IdentityAnswer["issuer"]>): Partial<FakeMesh> {
  return { identity: { ...sound.identity, issuer: { ...sound.identity.issuer, ...change } } };
}

function withCertified(change: Partial<IdentityAnswer["proxies"][number]>): Partial<FakeMesh> {
  const [first, ...others] = sound.identity.proxies;
  assert.ok(first);
  return { identity: { ...sound.identity, proxies: [{ ...first, ...change }, ...others] } };
}

function bad(kind: string, severity: "error" | "warning" = "error"): Partial<FakeMesh> {
  const file = kind === "file" ? "/shop/mesh.yaml" : "/shop/policy.yaml";
  const diagnostic = { severity, file, line: 3, column: 7, field: "spec.rules", message: "expected a list", hint: "" };
  const state = severity === "error" ? ("bad" as const) : ("ok" as const);
  return {
    sources: sound.sources.map((row) => (row.kind === kind ? { ...row, state, diagnostics: [diagnostic] } : row)),
  };
}

/** By description: what is wrong, the result, and what is said about it. */
const WRONG: Readonly<Record<string, [() => Partial<FakeMesh>, "error" | "warning", RegExp]>> = {
  "control plane is ready": [() => ({ ready: false }), "error", /starting, or about to end/],
  "control plane serves xDS": [
    () => ({ accepts: false }),
    "warning",
    /nothing accepts connections at 127\.0\.0\.1:4181/,
  ],
  "xDS asks other hosts who they are": [
    () => ({ insecureXds: true }),
    "warning",
    /^--insecure-xds is given: whoever reaches 127\.0\.0\.1:4181 can read the mesh$/,
  ],
  "control plane and cli versions match": [
    () => ({ cli: "1.3.0" }),
    "warning",
    /^the control plane is 1\.2\.3, this command line 1\.3\.0$/,
  ],
  "mesh files are valid": [
    () => bad("file"),
    "error",
    /^what was read at 2026-11-21T11:00:00\.000Z stays in force:\n\/shop\/mesh\.yaml:3:7: error: spec\.rules: expected a list$/,
  ],
  "documents are valid": [
    () => ({
      sources: bad("resources").sources?.map((row) => ({ ...row, loadedAt: null })) ?? [],
    }),
    "error",
    /^nothing was good yet, so nothing is in force:\n\/shop\/policy\.yaml:3:7: error/,
  ],
  "policies of all workloads can be made": [
    () => {
      const row = { name: "policies", kind: "policies", state: "bad", loadedAt: null, diagnostics: [] } as const;
      return { sources: [...sound.sources, { ...row, problems: ["shop/price-1: too many clauses"] }] };
    },
    "error",
    /^shop\/price-1: too many clauses$/,
  ],
  "mesh files and documents have no warnings": [
    () => bad("resources", "warning"),
    "warning",
    /^\/shop\/policy\.yaml:3:7: warning: spec\.rules: expected a list$/,
  ],
  "certificate config is valid": [
    () => ({ identity: { ...sound.identity, problem: "/ca/issuer.pem: expected certificates in PEM, found none" } }),
    "error",
    /^\/ca\/issuer\.pem: .*\nwhat the files said before stays in force$/,
  ],
  "trust anchors are using supported crypto algorithm": [
    () => {
      const { roots, ...rest } = sound.identity;
      const weak = madeByOpenssl("-newkey", "rsa:1024");
      return { identity: { ...rest, roots: roots.flatMap((root) => [root, { ...root, pem: weak }]) } };
    },
    "error",
    /^O=heddle, CN=heddle root \(a1a1a1a1a1a1a1a1\): an RSA key of 1024 bits; expected at least 2048$/,
  ],
  "trust anchors are within their validity period": [
    () => withRoot({ notAfter: "2026-11-21T12:00:00.000Z" }),
    "error",
    /has expired at 2026-11-21T12:00:00\.000Z$/,
  ],
  "trust anchors are valid for at least 60 days": [
    () => withRoot({ notAfter: "2027-01-20T11:59:59.000Z" }),
    "warning",
    /expires in 59 days, at 2027-01-20T11:59:59\.000Z: heddle identity rotate$/,
  ],
  "issuer cert is using supported crypto algorithm": [
    () => {
      // Above it is what is sound, so that only the key is wrong.
      const [issuer = "", ...above] = sound.identity.issuer.chain;
      const chain = [madeByOpenssl("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"), issuer, ...above];
      const { issuer: now, roots } = sound.identity;
      const trusted = roots.flatMap((root) => [root, { ...root, retiring: true, pem: chain[0] ?? "" }]);
      return { identity: { ...sound.identity, roots: trusted, issuer: { ...now, chain } } };
    },
    "error",
    /a key on the curve secp256k1; expected prime256v1, secp384r1, secp521r1/,
  ],
  "issuer cert is within its validity period": [
    () => withIssuer({ notBefore: "2026-11-21T12:00:01.000Z" }),
    "error",
    /is not valid before 2026-11-21T12:00:01\.000Z$/,
  ],
  "issuer cert is valid for at least 60 days": [
    () => withIssuer({ notAfter: "2026-12-01T12:00:00.000Z" }),
    "warning",
    /^O=heddle, CN=heddle issuer \(b2b2b2b2b2b2b2b2\) expires in 10 days, .*: heddle identity rotate --issuer$/,
  ],
  "issuer cert is issued by the trust anchor": [
    () => withRoot({ pem: otherRoot }),
    "error",
    /^O=heddle, CN=heddle issuer \(b2b2b2b2b2b2b2b2\) descends from none of the trust anchors$/,
  ],
  "no rotation of certificates is under way": [
    () => {
      const waitingFor = [{ namespace: "shop", workload: "price-2", lost: true }];
      const startedAt = "2026-11-21T11:59:00.000Z";
      return { identity: { ...sound.identity, rotation: { phase: "trust", startedAt, waitingFor, returning: false } } };
    },
    "warning",
    /^since 2026-11-21T11:59:00\.000Z: 1 of 3, .*; waiting for shop\/price-2 \(not connected\)$/,
  ],
  "certificate authority survives a restart": [
    () => ({ identity: { ...sound.identity, kept: false } }),
    "warning",
    /no --state-dir/,
  ],
  "data plane proxies have certificates": [
    () => withCertified({ notAfter: null, issuer: null, roots: [] }),
    "error",
    /^shop\/price-1 is to prove to be "price", and has no certificate$/,
  ],
  "data plane proxies' certificates are within their validity period": [
    () => withCertified({ notAfter: "2026-11-21T11:59:59.000Z" }),
    "error",
    /^that of shop\/price-1 has expired at 2026-11-21T11:59:59\.000Z$/,
  ],
  "data plane proxies' certificates are renewed in time": [
    () => withCertified({ notAfter: "2026-11-21T14:23:00.000Z" }),
    "warning",
    /^that of shop\/price-1 expires at 2026-11-21T14:23:00\.000Z, and should have been replaced by now$/,
  ],
  "data plane proxies certificate match CA": [
    () => withCertified({ roots: ["c3".repeat(32)] }),
    "error",
    /^shop\/price-1 does not trust all trust anchors$/,
  ],
  "data plane namespace exists": [
    () => ({ namespace: "pay" }),
    "error",
    /^there is no sidecar in the namespace "pay"$/,
  ],
  "data plane proxies are connected to the control plane": [
    () => ({ proxies: sound.proxies.slice(1) }),
    "error",
    /^shop\/price-1 is registered, and its sidecar \(127\.0\.0\.1:20005\) is not connected$/,
  ],
  "data plane proxies are ready": [
    () => ({
      proxies: [
        { ...sidecar("price-1"), unanswered: 3, failure: "timeout" },
        { ...sidecar("front-1"), ready: false },
        { ...sidecar("stranger-1"), ready: false },
      ],
    }),
    "error",
    /^shop\/price-1 did not answer the last 3 times at .* \(timeout\)\nshop\/front-1 is not ready: it waits .*\nshop\/stranger-1 is not ready: nobody has registered it/,
  ],
  "data plane and control plane versions match": [
    () => ({ proxies: [{ ...sidecar("price-1"), version: "1.2.2" }, sidecar("front-1")] }),
    "warning",
    /^shop\/price-1 is 1\.2\.2, the control plane 1\.2\.3$/,
  ],
  "data plane proxies accept their configuration": [
    () => {
      const at = "2026-11-21T11:58:00.000Z";
      const refused = [{ type: "InboundPolicy", name: "shop/price-1", message: "too many clauses", at }];
      const stranger = { ...sidecar(""), id: "envoy-7", program: "envoy", version: "", namespace: "", admin: "" };
      const other = { type: "Cluster", name: "price.shop:80", message: "no", at };
      return {
        proxies: [{ ...sidecar("price-1"), refused }, sidecar("front-1"), { ...stranger, refused: [other] }],
      };
    },
    "error",
    /^shop\/price-1 refuses InboundPolicy "shop\/price-1" since 2026-11-21T11:58:00\.000Z: too many clauses\nenvoy envoy-7 refuses Cluster/,
  ],
  "data plane workloads are healthy": [
    () => ({ workloads: [{ ...workload("price-1"), health: "unhealthy" }, workload("front-1")] }),
    "warning",
    /^shop\/price-1 is unhealthy/,
  ],
};

describe("checks of a mesh", () => {
  it("find nothing where all is well", async () => {
    const results = await resultsOf(sound);
    assert.deepEqual(
      results.filter(({ result }) => result !== "success"),
      [],
    );
    const all = MESH.flatMap(({ checks }) => checks);
    assert.equal(results.length, all.length);
    // The first one fails where nothing answers, which FakeMesh has no word for.
    assert.deepEqual(
      all
        .map(({ description }) => description)
        .slice(1)
        .toSorted(),
      Object.keys(WRONG).toSorted(),
    );
  });

  for (const [description, [change, result, says]] of Object.entries(WRONG)) {
    it(`find it, and nothing else, when this does not hold: ${description}`, async () => {
      const results = await resultsOf({ ...sound, ...change() });
      const wrong = results.filter((one) => one.result !== "success");
      assert.deepEqual(
        wrong.map((one) => [one.description, one.result]),
        [[description, result]],
      );
      assert.match(wrong[0]?.problems.join("\n") ?? "", says);
    });
  }

  it("do not complain of what is as it should be", async () => {
    const { identity } = sound;
    const [first, ...others] = identity.proxies;
    const [root] = identity.roots;
    assert.ok(first && root);
    const spared: Readonly<Record<string, Partial<FakeMesh>>> = {
      "a sidecar that lags behind in a rotation": {
        identity: {
          ...identity,
          rotation: { phase: "trust", startedAt: "", waitingFor: [], returning: false },
          proxies: [{ ...first, roots: [], issuer: "0" }, ...others],
        },
      },
      "a certificate that ends with its issuer": {
        identity: {
          ...identity,
          issuer: { ...identity.issuer, notAfter: "2026-11-21T13:00:00.000Z" },
          proxies: [{ ...first, notAfter: "2026-11-21T13:00:00.000Z" }, ...others],
        },
      },
      "a retiring root that expires soon": {
        identity: {
          ...identity,
          roots: [root, { ...root, retiring: true, notAfter: "2026-11-22T00:00:00.000Z" }],
        },
      },
      "two rounds without an answer": { proxies: [{ ...sidecar("price-1"), unanswered: 2 }, sidecar("front-1")] },
      "a sidecar of another namespace": {
        namespace: "shop",
        workloads: [...sound.workloads, { ...workload("far-1"), namespace: "far" }],
        proxies: [...sound.proxies, { ...sidecar("near-1"), namespace: "far", ready: false }],
      },
      "a workload that is to have no identity": {
        workloads: [{ ...workload("price-1"), serviceAccount: "" }, workload("front-1")],
        identity: { ...identity, proxies: others },
      },
    };
    for (const [what, change] of Object.entries(spared)) {
      const wrong = (await resultsOf({ ...sound, ...change })).filter(({ result }) => result === "error");
      assert.deepEqual(wrong, [], what);
      const warned = (await resultsOf({ ...sound, ...change })).filter(({ result }) => result === "warning");
      const expected = /rotation/.test(what) ? ["no rotation of certificates is under way"] : [];
      if (/with its issuer/.test(what)) expected.push("issuer cert is valid for at least 60 days");
      assert.deepEqual(
        warned.map(({ description }) => description),
        expected,
        what,
      );
    }
  });

  it("say so when the control plane is too old to know", async () => {
    const old = { ...sidecar("price-1"), refused: undefined, ready: undefined } as unknown as ReturnType<
      typeof sidecar
    >;
    const identity = { ...sound.identity, problem: undefined, kept: undefined } as unknown as IdentityAnswer;
    const results = await resultsOf({ ...sound, version: "1.0.0", identity, proxies: [old] });
    const said = new Map(results.map(({ description, problems }) => [description, problems.join("\n")]));
    assert.match(said.get("control plane and cli versions match") ?? "", /the control plane is 1\.0\.0/);
    const unknown = /^the control plane does not say "\w+": it is of another version$/;
    assert.match(said.get("certificate config is valid") ?? "", unknown);
    assert.match(said.get("data plane proxies accept their configuration") ?? "", unknown);
    assert.equal(said.get("mesh files are valid"), "");
  });

  it("of the data plane are those of a whole mesh", () => {
    for (const category of DATA_PLANE) assert.ok(MESH.includes(category), category.name);
  });
});

const broken = (): FakeMesh => ({
  ...sound,
  ...bad("resources"),
  accepts: false,
  proxies: [
    ...Array.from({ length: 25 }, (_, i) => ({ ...sidecar(`price-${i + 1}`), ready: false })),
    sidecar("front-1"),
  ],
});

describe("what heddle check prints", () => {
  for (const form of REPORT_FORMS) {
    for (const [what, mesh] of [
      ["well", () => sound],
      ["broken", broken],
    ] as const) {
      it(`${form}, when the mesh is ${what}`, async () => {
        const output = new CapturedOutput();
        const report = reportOf(form, output, plain);
        const success = await runChecks(MESH, {
          look: () => fakeWorld(mesh()),
          clock: new VirtualClock(),
          waitMs: 0,
          onResult: (result) => report.add(result),
          onRetry: () => undefined,
        });
        report.end(success);
        assert.equal(success, what === "well");
        matchesGolden(`check/${what}-${form}.txt`, output.text);
      });
    }
  }

  it("takes no offence at a kind of key that an authority may have", async () => {
    for (const kind of ["rsa:2048", "ed25519", "ec -pkeyopt ec_paramgen_curve:P-521"]) {
      const pem = madeByOpenssl("-newkey", ...kind.split(" "));
      const { roots, ...rest } = sound.identity;
      const identity = { ...rest, roots: roots.flatMap((root) => [root, { ...root, pem }]) };
      const found = (await resultsOf({ ...sound, identity })).filter(({ result }) => result !== "success");
      assert.deepEqual(found, [], kind);
    }
  });

  it("says that the control plane does not serve xDS yet, as it does while it starts", async () => {
    const found = (await resultsOf({ ...sound, xds: "" })).filter(({ result }) => result !== "success");
    assert.deepEqual(
      found.map(({ description, problems }) => [description, ...problems]),
      [["control plane serves xDS", "it does not say yet where: it is starting"]],
    );
  });

  it("has colours on a terminal", () => {
    const output = new CapturedOutput();
    const report = reportOf("table", output, (style, text) => `<${String(style)}>${text}`);
    for (const result of ["success", "warning", "error"] as const) {
      report.add({ category: "c", description: "d", result, problems: [], hint: "h" });
    }
    report.end(false);
    assert.deepEqual(output.text.match(/<.*/g), ["<green>√ d", "<yellow>‼ d", "<red>× d", "<red>×"]);
  });
});
