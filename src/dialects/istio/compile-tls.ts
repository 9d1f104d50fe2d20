/** Which PeerAuthentication holds for a workload, by Istio's precedence. */
import { type InboundPolicy, NO_DOCUMENT, type Origin, type TlsMode } from "../../model/inbound-policy.ts";
import { originAt, type ResourceOf } from "../resource.ts";
import type { ResourceSet } from "../resource-set.ts";
import { type PolicySettings, type PolicyTarget, portsMeant } from "../target.ts";
import type { MutualTlsMode } from "./peer-authentication.ts";

type Document = ResourceOf<"security.istio.io/PeerAuthentication">;

const MODES: Readonly<Record<Exclude<MutualTlsMode, "UNSET">, TlsMode>> = {
  DISABLE: "disable",
  PERMISSIVE: "permissive",
  STRICT: "strict",
};

/**
 * The workload's own document before its namespace's before the mesh's; UNSET is left to the next one, and in the end
 * permissive. Of several of one scope Istio takes the oldest; here it is the first. One with a selector in the root
 * namespace is about no workload.
 */
export function tlsModes(
  resources: ResourceSet,
  target: PolicyTarget,
  { rootNamespace }: PolicySettings,
): Pick<InboundPolicy, "tls" | "tlsByPort"> {
  const all = resources.of("security.istio.io/PeerAuthentication");
  const isWide = ({ spec }: Document): boolean => spec.selector === undefined;
  const mesh = all.find((document) => isWide(document) && document.origin.namespace === rootNamespace);
  const local = all.filter(({ origin }) => origin.namespace === target.namespace && origin.namespace !== rootNamespace);
  const namespace = local.find(isWide);
  const own = local.find(({ spec: { selector } }) => selector !== undefined && holds(selector, target));

  let tls: { mode: TlsMode; origin: Origin } = { mode: "permissive", origin: NO_DOCUMENT };
  for (const document of [mesh, namespace, own]) {
    if (document === undefined || document.spec.mode === "UNSET") continue;
    tls = { mode: MODES[document.spec.mode], origin: document.origin };
  }
  const tlsByPort = (own?.spec.byPort ?? []).flatMap(({ port, mode, line }) => {
    const at = own === undefined ? NO_DOCUMENT : originAt(own, line);
    const here = mode === "UNSET" ? tls : { mode: MODES[mode], origin: at };
    return portsMeant(target, port).map((meant) => ({ port: meant, ...here }));
  });
  return { tls, tlsByPort };
}

/** Istio's selectors: every label, exactly. */
export function holds(selector: Readonly<Record<string, string>>, target: PolicyTarget): boolean {
  return Object.entries(selector).every(
    ([name, value]) => Object.hasOwn(target.labels, name) && target.labels[name] === value,
  );
}
