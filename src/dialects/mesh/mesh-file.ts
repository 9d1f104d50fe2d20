/**
 * mesh.yaml: which workloads to run on this machine, in the spirit of a compose file. Of routing and policy it says only
 * which documents hold and what decides where they say nothing; those have dialects of their own. Defaults are filled in here: what reads a `MeshFile` never has to guess.
 */
import { DEFAULT_TRUST_DOMAIN } from "../../model/identity.ts";
import type { DefaultPolicy, ExternalAuthorizer } from "../../model/inbound-policy.ts";
import type { PortProtocol } from "../../model/service.ts";

export interface MeshFile {
  /** The absolute path that it was read from. */
  readonly file: string;
  /** A DNS label; default: the name of the folder. */
  readonly name: string;
  /** Namespace of its services. Default "default". */
  readonly namespace: string;
  readonly services: readonly MeshFileService[];
  /** Files and folders of documents in other dialects: absolute, in the order of the file. */
  readonly resourcePaths: readonly string[];
  readonly policy: MeshFilePolicy;
}

export interface MeshFilePolicy {
  /** What decides about calls that no document is about. Default "all-unauthenticated". */
  readonly default: DefaultPolicy;
  /** Default "cluster.local". */
  readonly trustDomain: string;
  /** What Istio's CUSTOM policies may name as their provider. */
  readonly authorizers: readonly ExternalAuthorizer[];
}

/** What holds in a mesh whose file says nothing of it. */
export const defaultMeshPolicy: MeshFilePolicy = {
  default: "all-unauthenticated",
  trustDomain: DEFAULT_TRUST_DOMAIN,
  authorizers: [],
};

export interface MeshFileService {
  /** A DNS label: the key in `services`. */
  readonly name: string;
  /** Program and arguments. A string in the file is run by `/bin/sh -c`. */
  readonly command: readonly string[];
  /** Absolute. Default: the folder of the file. */
  readonly directory: string;
  readonly ports: readonly MeshFilePort[];
  /** Authorities that it calls; each becomes an explicit upstream port and a variable HEDDLE_UPSTREAM_<NAME>=host:port. */
  readonly upstreams: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** At least one. `instances: 3` gives price-1, price-2, price-3. */
  readonly instances: readonly MeshFileInstance[];
  /** HTTP path on the first port that answers 2xx once the instance may take traffic; "" : accepting a connection is enough. */
  readonly ready: string;
}

export interface MeshFilePort {
  /** Default: "http" for the first, else required. */
  readonly name: string;
  /** The port that callers say. Default 80. */
  readonly port: number;
  /** Default: `defaultProtocol` of the port. */
  readonly protocol: PortProtocol;
  /** The environment variable that tells the program where to listen. Default PORT for the first, PORT_<NAME> for others. */
  readonly env: string;
}

export interface MeshFileInstance {
  /** The workload's name, unique in the file. */
  readonly name: string;
  /** Added to the service's. */
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}
