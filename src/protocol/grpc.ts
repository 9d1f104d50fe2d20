/** What a mesh has to know of gRPC (the protocol document PROTOCOL-HTTP2 of the gRPC project). */
import type { HeaderList, RequestHead, ResponseHead } from "./exchange.ts";
import { getHeader, nameEquals } from "./headers.ts";

/** Status codes by their number. */
export const GRPC_CODE_NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** Status codes by their name. */
export const GrpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

const CONTENT_TYPE = "application/grpc";
const GRPC = /^application\/grpc(?:\+|[ \t]*;|$)/i;
const GRPC_WEB = /^application\/grpc-web(?:-text)?(?:\+|[ \t]*;|$)/i;

/**
 * The way in which a message speaks gRPC: "grpc" is application/grpc, with or without a codec ("+proto") or parameters;
 * "web" is gRPC-Web (its PROTOCOL-WEB), binary or as text, which has its trailers in the body; "" is neither.
 */
export function grpcKind(headers: HeaderList): "grpc" | "web" | "" {
  const type = getHeader(headers, "content-type");
  // Most other types differ in their 13th letter.
  if (type === undefined || (type.charCodeAt(12) | 0x20) !== 0x67) return "";
  if (type === CONTENT_TYPE || GRPC.test(type)) return "grpc";
  return GRPC_WEB.test(type) ? "web" : "";
}

/** True for a message whose content type is application/grpc. gRPC-Web is something else. */
export function isGrpc(headers: HeaderList): boolean {
  return grpcKind(headers) === "grpc";
}

/**
 * Whether an answer is to be judged by a gRPC status, its own or the one that its client derives: not only gRPC answers,
 * but whatever answers a gRPC request, and gRPC-Web answers that have the status in their head. (The others have it in
 * the body, which nobody here reads.)
 */
export function isJudgedByGrpc(request: RequestHead, answer: ResponseHead): boolean {
  // What a tunnel carries is not known.
  if (answer.upgrade !== "") return false;
  const kind = grpcKind(answer.headers);
  if (kind === "grpc") return true;
  if (kind === "web") return grpcStatusOf(answer.headers) !== undefined;
  return request.version === "2" && request.method === "POST" && isGrpc(request.headers);
}

/**
 * The status in trailers, or in a head that is all of its answer ("trailers-only").
 *
 * @returns a code from 0 on; UNKNOWN if it is no number, or there are several that differ; undefined if there is none
 */
export function grpcStatusOf(fields: HeaderList): number | undefined {
  let status: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (!nameEquals(fields[i] as string, "grpc-status")) continue;
    const value = fields[i + 1] as string;
    if (status !== undefined && status !== value) return GrpcCode.unknown;
    status = value;
  }
  if (status === undefined) return undefined;
  return /^[0-9]{1,9}$/.test(status) ? Number(status) : GrpcCode.unknown;
}

/** The name of a status code for labels and messages; codes that gRPC does not have are UNKNOWN. */
export function grpcCodeName(code: number): string {
  return GRPC_CODE_NAMES[code] ?? "UNKNOWN";
}

/** What a client makes of an answer without gRPC status (the gRPC project's http-grpc-status-mapping). */
export function grpcCodeOfHttp(status: number): number {
  switch (status) {
    case 400:
      return GrpcCode.internal;
    case 401:
      return GrpcCode.unauthenticated;
    case 403:
      return GrpcCode.permissionDenied;
    case 404:
      return GrpcCode.unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcCode.unavailable;
    default:
      return GrpcCode.unknown;
  }
}

/** Encodes a message for the field grpc-message: UTF-8, with everything but visible ASCII and blanks escaped. */
export function encodeGrpcMessage(message: string): string {
  if (/^[ -$&-~]*$/.test(message)) return message;
  let encoded = "";
  for (const octet of Buffer.from(message, "utf8")) {
    if (octet >= 0x20 && octet <= 0x7e && octet !== 0x25) encoded += String.fromCharCode(octet);
    else encoded += `%${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Decodes the field grpc-message. What is not escaped properly stays as it is: a message is never lost. */
export function decodeGrpcMessage(value: string): string {
  if (!value.includes("%")) return value;
  const octets = value.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(octets, "latin1").toString("utf8");
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Reads grpc-timeout: at most 8 digits and a unit. @returns milliseconds, with fractions; undefined if it is malformed */
export function parseGrpcTimeout(value: string): number | undefined {
  const unit = /^[0-9]{1,8}[HMSmun]$/.test(value) ? UNIT_MS[value.charAt(value.length - 1)] : undefined;
  return unit === undefined ? undefined : Number(value.slice(0, -1)) * unit;
}

/** Writes grpc-timeout with the finest unit that fits in 8 digits, rounded up. @param ms milliseconds, not negative */
export function formatGrpcTimeout(ms: number): string {
  for (const unit of ["n", "u", "m", "S", "M", "H"]) {
    // A quotient that is whole but for the error of floating point must not be rounded up.
    const count = Math.ceil(ms / (UNIT_MS[unit] as number) - 1e-6);
    if (count <= 99_999_999) return `${Math.max(0, count)}${unit}`;
  }
  return "99999999H";
}
