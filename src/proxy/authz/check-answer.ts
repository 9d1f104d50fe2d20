/** What an external authorizer's answer comes to: consent with changes to the request, a refusal of its own making, or nonsense. */
import {
  type HeaderValueOption,
  HeaderValueOption_HeaderAppendAction as Append,
} from "../../xds/gen/envoy/config/core/v3/base_pb.ts";
import type {
  CheckResponse,
  DeniedHttpResponse,
  OkHttpResponse,
} from "../../xds/gen/envoy/service/auth/v3/external_auth_pb.ts";
import type { HeaderList } from "../../protocol/exchange.ts";
import { changeFields, type FieldChange } from "./field-change.ts";

export type CheckVerdict =
  | Consent
  | { readonly kind: "denied"; readonly status: number; readonly headers: HeaderList; readonly body: string }
  /** It says something that is not to be had. */
  | { readonly kind: "bad"; readonly detail: string };

/** With what is to be changed in the request and in its answer. */
export interface Consent {
  readonly kind: "ok";
  /** Names of the request's fields, in lower case. */
  readonly remove: readonly string[];
  readonly set: readonly FieldChange[];
  readonly answer: readonly FieldChange[];
}

type How = FieldChange["how"];

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Where a message begins and ends, and who is meant, is not for others to say; nor what sidecars tell each other. */
const NOT_TO_BE_SET = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const FORBIDDEN = 403;

export function verdictOf(response: CheckResponse): CheckVerdict {
  const { status, httpResponse } = response;
  if (status === undefined || status.code === 0) {
    return okOf(httpResponse.case === "okResponse" ? httpResponse.value : undefined);
  }
  return deniedOf(httpResponse.case === "deniedResponse" ? httpResponse.value : undefined);
}

function okOf(ok: OkHttpResponse | undefined): CheckVerdict {
  if (ok === undefined) return { kind: "ok", remove: [], set: [], answer: [] };
  if (ok.queryParametersToSet.length + ok.queryParametersToRemove.length > 0) {
    return { kind: "bad", detail: "it wants to change the query, which is not done here" };
  }
  const remove = ok.headersToRemove.map((name) => name.toLowerCase());
  // Envoy: without a word a field of the request is set, and one of the answer is added.
  const set = changesOf(ok.headers, "set");
  const answer = changesOf(ok.responseHeadersToAdd, "add");
  if (typeof set === "string") return { kind: "bad", detail: set };
  if (typeof answer === "string") return { kind: "bad", detail: answer };
  const bad = remove.find((name) => !mayChange(name));
  if (bad !== undefined) return { kind: "bad", detail: `it wants to remove the field "${bad}"` };
  return { kind: "ok", remove, set, answer };
}

function deniedOf(denied: DeniedHttpResponse | undefined): CheckVerdict {
  const changes = changesOf(denied?.headers ?? [], "set");
  if (typeof changes === "string") return { kind: "bad", detail: changes };
  const code: number = denied?.status?.code ?? 0;
  const headers: HeaderList = [];
  changeFields(headers, changes);
  // A refusal that looks like a success would be taken for one.
  return { kind: "denied", status: code >= 300 && code <= 599 ? code : FORBIDDEN, headers, body: denied?.body ?? "" };
}

/** @returns what is wrong with it */
function changesOf(options: readonly HeaderValueOption[], usual: How): FieldChange[] | string {
  const changes: FieldChange[] = [];
  for (const { header, append, appendAction } of options) {
    const name = header?.key.toLowerCase() ?? "";
    const raw = header === undefined || header.rawValue.length === 0 ? undefined : Buffer.from(header.rawValue);
    const value = raw?.toString("latin1") ?? Buffer.from(header?.value ?? "").toString("latin1");
    if (!mayChange(name) || !VALUE.test(value)) return `it wants to set the field "${name.slice(0, 100)}"`;
    changes.push({ name, value, how: howOf(append, appendAction, usual) });
  }
  return changes;
}

function howOf(append: boolean | undefined, action: Append, usual: How): How {
  if (append !== undefined) return append ? "add" : "set";
  switch (action) {
    case Append.ADD_IF_ABSENT:
      return "add-if-absent";
    case Append.OVERWRITE_IF_EXISTS_OR_ADD:
      return "set";
    case Append.OVERWRITE_IF_EXISTS:
      return "set-if-present";
    // What is not said is the same as this.
    case Append.APPEND_IF_EXISTS_OR_ADD:
    default:
      return usual;
  }
}

function mayChange(name: string): boolean {
  return NAME.test(name) && !NOT_TO_BE_SET.has(name) && !name.startsWith("heddle-");
}
