/** One call as conditions look at it: what several of them need is worked out once. */
import { type IpAddress, parseAddress } from "../model/network.ts";
import type { Call, CallRequest } from "./call.ts";
import { readingsOf } from "./path.ts";
import type { PeerFacts } from "./peer-facts.ts";

export class CallView {
  readonly call: Call;
  readonly peer: PeerFacts;
  #paths: readonly string[] | undefined | null = null;
  #hosts: readonly string[] | undefined;

  constructor(call: Call, peer: PeerFacts) {
    this.call = call;
    this.peer = peer;
  }

  /** See `path.ts`. */
  paths({ path }: CallRequest): readonly string[] | undefined {
    if (this.#paths === null) this.#paths = readingsOf(path);
    return this.#paths;
  }

  /** In lower case: as sent, and without port and without the root's dot at the end. */
  hosts({ host }: CallRequest): readonly string[] {
    return (this.#hosts ??= hostsOf(host.toLowerCase()));
  }

  /** Where the request comes from by X-Forwarded-For, whose last entry is of whoever spoke to us; else the peer. */
  clientAddress(request: CallRequest): IpAddress | undefined {
    const forwarded = fieldOf(request, "x-forwarded-for");
    if (forwarded === undefined) return this.peer.address;
    return parseAddress(forwarded.slice(forwarded.lastIndexOf(",") + 1).trim());
  }
}

function hostsOf(host: string): readonly string[] {
  const name = host.replace(/:[0-9]*$/, "").replace(/\.$/, "");
  return name === host ? [host] : [host, name];
}

/** A field's values joined by ","; undefined if it is not there. Also by the names that HTTP/2 gives to the head's parts. */
export function fieldOf(request: CallRequest, name: string): string | undefined {
  switch (name) {
    case "host":
    case ":authority":
      return request.host === "" ? undefined : request.host;
    case ":method":
      return request.method;
    case ":path":
      return request.path;
    default:
  }
  const { headers } = request;
  let value: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const found = headers[i] as string;
    if (found.length !== name.length || found.toLowerCase() !== name) continue;
    value = value === undefined ? (headers[i + 1] as string) : `${value},${headers[i + 1]}`;
  }
  return value;
}
