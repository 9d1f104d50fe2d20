/** What an external authorizer is told of a call, as Envoy tells it. */
import type { Call, CallRequest } from "../../policy/policy.ts";
import type { HttpVersion } from "../../protocol/exchange.ts";
import type { Attributes } from "./check-client.ts";

/** What a request has beside its call. */
export interface RequestForm {
  readonly scheme: string;
  readonly version: HttpVersion;
}

/** @param now milliseconds since the epoch. @param form of the request; undefined for a byte stream */
export function attributesOf(call: Call, now: number, form: RequestForm | undefined): Attributes {
  const { peer, localAddress, port, sni, request } = call;
  return {
    attributes: {
      source: { address: socketAddress(peer.address, 0), principal: peer.identity },
      destination: { address: socketAddress(localAddress, port) },
      request: {
        time: { seconds: BigInt(Math.floor(now / 1_000)), nanos: Math.floor(now % 1_000) * 1_000_000 },
        ...(request === undefined || form === undefined ? {} : { http: httpOf(request, form) }),
      },
      tlsSession: { sni },
    },
  };
}

function httpOf({ method, path, host, headers }: CallRequest, { scheme, version }: RequestForm) {
  const fields = headerMap(headers);
  const length = Number(fields["content-length"] ?? -1);
  const pseudo = { ":method": method, ":path": path, ":authority": host, ":scheme": scheme };
  return {
    id: fields["x-request-id"] ?? "",
    method,
    // With the query, as Envoy has it.
    path,
    host,
    scheme,
    size: BigInt(Number.isSafeInteger(length) ? length : -1),
    protocol: `HTTP/${version}`,
    headers: { ...fields, ...pseudo },
  };
}

/** In lower case; several of one name are joined. */
function headerMap(headers: readonly string[]): Record<string, string> {
  const map = new Map<string, string>();
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const value = headers[i + 1] as string;
    const before = map.get(name);
    map.set(name, before === undefined ? value : `${before}${name === "cookie" ? "; " : ","}${value}`);
  }
  // Strings in protobuf are UTF-8; what came off the wire may be any octets.
  return Object.fromEntries(map);
}

function socketAddress(address: string, portValue: number) {
  return {
    address: {
      case: "socketAddress" as const,
      value: { address, portSpecifier: { case: "portValue" as const, value: portValue } },
    },
  };
}
