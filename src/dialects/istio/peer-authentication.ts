/** Istio's PeerAuthentication: which ports take TLS of the mesh, plain text, or both (security.istio.io). */
import { kubernetesDocument, matchLabels } from "../kubernetes.ts";
import { defaulted, dictionary, mapping, oneOf, optional, orEmpty } from "../shape.ts";

export type MutualTlsMode = "UNSET" | "DISABLE" | "PERMISSIVE" | "STRICT";

export interface PeerAuthentication {
  /** undefined: the whole namespace, or in the root namespace the whole mesh. */
  readonly selector: Readonly<Record<string, string>> | undefined;
  readonly mode: MutualTlsMode;
  /** By the application's port. */
  readonly byPort: readonly { readonly port: number; readonly mode: MutualTlsMode; readonly line: number }[];
}

const mutualTls = mapping({ mode: defaulted(oneOf(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]), "UNSET") });

const byPort = dictionary("a mapping of ports to modes", mutualTls, {
  pattern: /^([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])$/,
  expected: "a port number, 1 to 65535",
});

const spec = mapping(
  {
    selector: optional(matchLabels),
    mtls: orEmpty(mutualTls),
    portLevelMtls: orEmpty(byPort),
  },
  ({ selector, portLevelMtls }, node) => {
    const ports = Object.keys(portLevelMtls);
    if (ports.length > 0 && Object.keys(selector?.matchLabels ?? {}).length === 0) {
      const hint = "add spec.selector.matchLabels: a port's number means something for some workloads only";
      node.at("portLevelMtls").error("portLevelMtls needs a selector", hint, "key");
    }
  },
);

export const peerAuthentication = kubernetesDocument({ spec: orEmpty(spec) }, (value, node): PeerAuthentication => {
  const { selector, mtls, portLevelMtls } = value.spec;
  const labels = selector?.matchLabels ?? {};
  return {
    selector: Object.keys(labels).length === 0 ? undefined : labels,
    mode: mtls.mode,
    byPort: Object.entries(portLevelMtls).map(([port, { mode }]) => ({
      port: Number(port),
      mode,
      line: node.at("spec", "portLevelMtls", port).line,
    })),
  };
});
