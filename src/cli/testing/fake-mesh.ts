/** A mesh where all is well, as `heddle check` sees it, and a way to have something wrong with it. */
import { makeIssuer, makeRoot, type Signer } from "../../control/identity/certificates.ts";
import { World, type WorldOptions } from "../check/world.ts";
import type { IdentityAnswer, ProxyRow, SourceRow, WorkloadRow } from "../control-client.ts";

export const NOW = Date.parse("2026-11-21T12:00:00.000Z");

/** What a {@link World} is made of. */
export interface FakeMesh {
  readonly cli: string;
  readonly version: string;
  readonly xds: string;
  readonly insecureXds: boolean;
  readonly ready: boolean;
  readonly accepts: boolean;
  readonly namespace: string | undefined;
  readonly sources: readonly SourceRow[];
  readonly identity: IdentityAnswer;
  readonly workloads: readonly WorkloadRow[];
  readonly proxies: readonly ProxyRow[];
}

const source = (name: string, kind: string): SourceRow => {
  return { name, kind, state: "ok", loadedAt: "2026-11-21T11:00:00.000Z", diagnostics: [] };
};

/** Fingerprints, subjects and times are made up, so that goldens stay as they are; the certificates are real. */
export async function soundMesh(): Promise<FakeMesh & { readonly root: Signer }> {
  const validity = { notBefore: NOW - 1_000, notAfter: NOW + 1_000 };
  const root = await makeRoot(validity);
  const issuer = await makeIssuer(root, validity);
  const [rootPrint, issuerPrint] = ["a1".repeat(32), "b2".repeat(32)] as const;
  const notBefore = "2026-11-01T00:00:00.000Z";
  const proxy = (name: string): IdentityAnswer["proxies"][number] => ({
    namespace: "shop",
    workload: name,
    identity: `spiffe://cluster.local/ns/shop/sa/${name.slice(0, -2)}`,
    connected: true,
    roots: [rootPrint],
    issuer: issuerPrint,
    notAfter: "2026-11-22T06:00:00.000Z",
  });
  return {
    root,
    cli: "1.2.3",
    version: "1.2.3",
    xds: "127.0.0.1:4181",
    insecureXds: false,
    ready: true,
    accepts: true,
    namespace: undefined,
    sources: [
      source("/shop/mesh.yaml", "file"),
      source("/shop/policy.yaml", "resources"),
      source("registrations", "registry"),
    ],
    identity: {
      trustDomain: "cluster.local",
      source: "embedded",
      leafLifetimeSeconds: 86_400,
      roots: [
        {
          fingerprint: rootPrint,
          subject: "O=heddle, CN=heddle root",
          notBefore,
          notAfter: "2036-11-01T00:00:00.000Z",
          pem: root.certificate,
          retiring: false,
        },
      ],
      issuer: {
        fingerprint: issuerPrint,
        subject: "O=heddle, CN=heddle issuer",
        notBefore,
        notAfter: "2027-11-01T00:00:00.000Z",
        chain: [issuer.certificate],
      },
      rotation: null,
      proxies: [proxy("price-1"), proxy("front-1")],
      problem: "",
      kept: true,
    },
    workloads: [workload("price-1"), workload("front-1"), { ...workload("legacy-1"), admin: "" }],
    proxies: [sidecar("price-1"), sidecar("front-1")],
  };
}

export function fakeWorld(mesh: FakeMesh): World {
  return new World(worldOptions(mesh));
}

function worldOptions(mesh: FakeMesh): WorldOptions {
  return {
    client: {
      about: async () => ({ version: mesh.version, xds: mesh.xds, insecureXds: mesh.insecureXds }),
      ready: async () => mesh.ready,
      sources: async () => [...mesh.sources],
      identity: async () => mesh.identity,
      workloads: async () => [...mesh.workloads],
      proxies: async () => [...mesh.proxies],
    },
    namespace: mesh.namespace,
    version: mesh.cli,
    now: () => NOW,
    accepts: async () => mesh.accepts,
  };
}

export function workload(name: string): WorkloadRow {
  return {
    name,
    namespace: "shop",
    serviceAccount: name.slice(0, -2),
    labels: {},
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    ports: [],
    admin: "127.0.0.1:20005",
    ttlSeconds: 15,
  };
}

export function sidecar(name: string): ProxyRow {
  return {
    id: `${name}.shop`,
    program: "heddle",
    version: "1.2.3",
    workload: name,
    namespace: "shop",
    admin: "127.0.0.1:20005",
    refused: [],
    ready: true,
    unanswered: 0,
    failure: "",
  };
}
