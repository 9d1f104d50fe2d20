/** Linkerd's older ServerAuthorization: who may call some Servers. */
import type { Network } from "../../model/inbound-policy.ts";
import {
  kubernetesDocument,
  type LabelSelector,
  labelSelector,
  namespaceName,
  network,
  resourceName,
} from "../kubernetes.ts";
import { boolean, defaulted, list, mapping, optional, required } from "../shape.ts";
import { identity } from "./authentication.ts";

export interface ServerAuthorization {
  /** By name, or by the labels of the Servers. */
  readonly server: { readonly name: string } | { readonly selector: LabelSelector };
  /** Empty: from anywhere. */
  readonly networks: readonly Network[];
  /** Who: everybody, everybody in the mesh, or these. */
  readonly clients: "all" | "authenticated" | ServerClients;
}

export interface ServerClients {
  readonly identities: readonly string[];
  readonly serviceAccounts: readonly { readonly name: string; readonly namespace: string | undefined }[];
}

const serviceAccount = mapping({ name: required(resourceName), namespace: optional(namespaceName) });

const meshTls = mapping(
  {
    unauthenticatedTLS: defaulted(boolean, false),
    identities: defaulted(list("a list of identities", identity), []),
    serviceAccounts: defaulted(list("a list of service accounts", serviceAccount), []),
  },
  ({ unauthenticatedTLS, identities, serviceAccounts }, node) => {
    const named = identities.length + serviceAccounts.length > 0;
    if (unauthenticatedTLS && named) node.error("unauthenticatedTLS does not go with identities or serviceAccounts");
    if (!unauthenticatedTLS && !named) node.unexpected("one of unauthenticatedTLS, identities and serviceAccounts");
  },
);

const client = mapping(
  {
    networks: defaulted(list("a list of networks", network), []),
    unauthenticated: defaulted(boolean, false),
    meshTLS: optional(meshTls),
  },
  ({ unauthenticated, meshTLS }, node) => {
    if (unauthenticated && meshTLS !== undefined) node.error("unauthenticated does not go with meshTLS");
    if (!unauthenticated && meshTLS === undefined)
      node.error("expected unauthenticated: true, or meshTLS; found neither");
  },
);

const serverReference = mapping(
  { name: optional(resourceName), selector: optional(labelSelector) },
  ({ name, selector }, node) => {
    if ((name === undefined) === (selector === undefined)) node.error("expected either name or selector");
  },
);

export const serverAuthorization = kubernetesDocument(
  { spec: required(mapping({ server: required(serverReference), client: required(client) })) },
  ({ spec: { server, client: who } }): ServerAuthorization => ({
    server: server.selector === undefined ? { name: server.name ?? "" } : { selector: server.selector },
    networks: who.networks,
    clients: who.meshTLS === undefined ? "all" : who.meshTLS.unauthenticatedTLS ? "authenticated" : who.meshTLS,
  }),
);
