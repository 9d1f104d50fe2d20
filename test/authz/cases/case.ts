/**
 * Authorization as data: documents as somebody wrote them, the workload that is called, calls of it, and what must come
 * of each. Addresses are of loopback and headers are whole, so that every call can also be made for real.
 */
import type { DefaultPolicy } from "../../../src/model/inbound-policy.ts";
import type { PolicyTarget } from "../../../src/dialects/target.ts";

export interface AuthzCall {
  /** SPIFFE id of the caller; "": no TLS of the mesh. */
  readonly from: string;
  /** Default "127.0.0.1". */
  readonly address?: string;
  /** The service port; default 80. */
  readonly port?: number;
  /** "tcp": bytes that nobody looks at. Default "http". */
  readonly protocol?: "http" | "tcp";
  /** Default GET. */
  readonly method?: string;
  /** Default "/". */
  readonly path?: string;
  /** Default "price.shop". */
  readonly host?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Claims of a valid token. */
  readonly jwt?: Readonly<Record<string, unknown>>;
}

export interface AuthzCase {
  readonly name: string;
  readonly call: AuthzCall;
  readonly verdict: "allowed" | "denied";
  /** What decides: "Kind/name", or "default/<policy>". */
  readonly by: string;
  /** What is marked on the way, as "Kind/name". */
  readonly audited?: readonly string[];
  /** Providers that are still to be asked. */
  readonly external?: readonly string[];
}

export interface AuthzGroup {
  readonly name: string;
  readonly dialect: "linkerd" | "istio" | "smi" | "consul" | "mixed";
  readonly documents: string;
  /** Default {@link PRICE}. */
  readonly target?: PolicyTarget;
  /** Default "all-unauthenticated". */
  readonly defaultPolicy?: DefaultPolicy;
  /** Names of external authorizers that there are. */
  readonly providers?: readonly string[];
  readonly cases: readonly AuthzCase[];
}

export const PRICE: PolicyTarget = {
  name: "price-1",
  namespace: "shop",
  labels: { app: "price", version: "v1" },
  serviceAccount: "price",
  ports: [
    { service: "price", name: "http", port: 80, appPort: 8080 },
    { service: "price", name: "sql", port: 5432, appPort: 5432 },
  ],
};

export const NOBODY = "";
export const WEB = "spiffe://cluster.local/ns/shop/sa/web";
export const CART = "spiffe://cluster.local/ns/shop/sa/cart";
export const BATCH = "spiffe://cluster.local/ns/jobs/sa/batch";
/** Of another mesh, with the same names. */
export const STRANGER = "spiffe://other.example/ns/shop/sa/web";
