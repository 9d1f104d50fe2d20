import type { AuthzGroup } from "./case.ts";
import { CONSUL } from "./consul.ts";
import { ISTIO } from "./istio.ts";
import { LINKERD } from "./linkerd.ts";
import { MIXED } from "./mixed.ts";
import { SMI } from "./smi.ts";

export const AUTHZ_GROUPS: readonly AuthzGroup[] = [...LINKERD, ...ISTIO, ...SMI, ...CONSUL, ...MIXED];
