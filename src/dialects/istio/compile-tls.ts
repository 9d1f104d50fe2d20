/** Which PeerAuthentication holds for a workload, by Istio's precedence. */
import { type InboundPolicy, NO_DOCUMENT, type Origin, type TlsMode } from "../../model/inbound-policy.ts";
import { originAt, type ResourceOf } from "../resource.ts";
import type { ResourceSet } from "../resource-index.ts";
import { type PolicySettings, type PolicyTarget, portsEnforced } from "../target.ts";
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
  const about = all.filter((document) => isAboutTls(document, target, rootNamespace));
  const mesh = about.find(({ origin }) => origin.namespace === rootNamespace);
  const local = about.filter(({ origin }) => origin.namespace !== rootNamespace);
  const namespace = local.find(isWide);
  const own = local.find((document) => !isWide(document));

  let tls: { mode: TlsMode; origin: Origin } = { mode: "permissive", origin: NO_DOCUMENT };
  for (const document of [mesh, namespace, own]) {
    if (document === undefined || document.spec.mode === "UNSET") continue;
    tls = { mode: MODES[document.spec.mode], origin: document.origin };
  }
  const tlsByPort = (own?.spec.byPort ?? []).flatMap(({ port, mode, line }) => {
    const at = own === undefined ? NO_DOCUMENT : originAt(own, line);
    const here = mode === "UNSET" ? tls : { mode: MODES[mode], origin: at };
    return portsEnforced(target, port).map((meant) => ({ port: meant, ...here }));
  });
  return { tls, tlsByPort };
}

/** One with a selector is about nobody in the root namespace, and one without about all there is. */
export function isAboutTls({ origin, spec }: Document, target: PolicyTarget, rootNamespace: string): boolean {
  if (origin.namespace === rootNamespace) return spec.selector === undefined;
  return origin.namespace === target.namespace && holds(spec.selector ?? {}, target);
}

function isWide({ spec }: Document): boolean {
  return spec.selector === undefined;
}

/** Istio's selectors: every label, exactly. */
export function holds(selector: Readonly<Record<string, string>>, target: PolicyTarget): boolean {
  return Object.entries(selector).every(
    ([name, value]) => Object.hasOwn(target.labels, name) && target.labels[name] === value,
  );
}
