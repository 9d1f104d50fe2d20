/** What a supervisor or a workload tells about one instance: the body of `PUT /api/v1/workloads/:namespace/:name`. */
import { isIP } from "node:net";

import * as z from "zod";

import { isServiceAccount } from "../../model/identity.ts";
import { APP_PROTOCOLS, defaultProtocol, PORT_PROTOCOLS, portProtocol } from "../../model/service.ts";
import type { Workload } from "../../model/workload.ts";

/** Seconds that a lease may last. */
export const TTL_SECONDS_MIN = 5;
export const TTL_SECONDS_MAX = 3_600;
/** Ports, labels and upstreams of one workload. */
export const REGISTRATION_PORTS_MAX = 64;
export const REGISTRATION_LABELS_MAX = 64;
export const REGISTRATION_UPSTREAMS_MAX = 256;
/** Virtual addresses of the service of one port. */
export const SERVICE_ADDRESSES_MAX = 8;
/** Errors that one answer lists. */
export const FIELD_ERRORS_MAX = 20;

export interface Registration extends Workload {
  /** Where its sidecar's admin and outbound listeners are, "ip:port"; "" if it did not say. */
  readonly admin: string;
  readonly outbound: string;
  readonly upstreams: readonly { readonly authority: string; readonly address: string }[];
  /** Without a renewal for so long, the workload is forgotten. */
  readonly ttlSeconds: number;
}

/** One thing wrong with a body. */
export interface FieldError {
  /** "ports[0].port"; "" for the whole body. */
  readonly field: string;
  /** What was expected. */
  readonly message: string;
}

const LABEL = 'small letters, digits and "-", at most 63 characters';

function dnsLabel(): z.ZodString {
  const error = `expected a DNS label: ${LABEL}`;
  return z
    .string({ error })
    .max(63, { error })
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, { error });
}

function integer(min: number, max: number): z.ZodNumber {
  const error = `expected a whole number, ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

function text(lengthMax: number): z.ZodString {
  const error = `expected text of at most ${lengthMax} characters`;
  return z.string({ error }).max(lengthMax, { error });
}

const socketAddress = z
  .string({ error: 'expected an address like "127.0.0.1:4191"' })
  .refine((value) => parseSocketAddress(value) !== undefined, { error: 'expected an address like "127.0.0.1:4191"' });

const ipAddress = z
  .string({ error: "expected an IP address" })
  .refine((value) => isIP(value) !== 0, { error: "expected an IP address" });

const port = z.strictObject({
  service: dnsLabel(),
  name: dnsLabel(),
  port: integer(1, 65_535),
  protocol: z
    .enum([...PORT_PROTOCOLS, ...Object.keys(APP_PROTOCOLS)], { error: `expected one of ${PORT_PROTOCOLS.join(", ")}` })
    .transform(portProtocol)
    .optional(),
  address: ipAddress,
  addressPort: integer(1, 65_535),
  meshed: z.boolean({ error: "expected true or false" }),
  appPort: integer(1, 65_535).optional(),
  serviceAddresses: z
    .array(ipAddress, { error: "expected a list of IP addresses" })
    .max(SERVICE_ADDRESSES_MAX, { error: `expected at most ${SERVICE_ADDRESSES_MAX} addresses` })
    .optional(),
});

const serviceAccount = z
  .string({ error: "expected the name of a service account" })
  .refine((value) => value === "" || isServiceAccount(value), {
    error: 'expected the name of a service account: small letters, digits, "-" and ".", at most 253 characters',
  });

const locality = z.strictObject({
  region: text(253).default(""),
  zone: text(253).default(""),
  subZone: text(253).default(""),
});

const HEALTH = ["healthy", "unhealthy", "draining"] as const;

const body = z.strictObject(
  {
    serviceAccount: serviceAccount.default(""),
    labels: z
      .record(text(253), text(256), { error: "expected an object of texts" })
      .refine((labels) => Object.keys(labels).length <= REGISTRATION_LABELS_MAX, {
        error: `expected at most ${REGISTRATION_LABELS_MAX} labels`,
      })
      .default({}),
    locality: locality.default({ region: "", zone: "", subZone: "" }),
    weight: integer(1, 4_294_967_295).default(1),
    health: z.enum(HEALTH, { error: `expected one of ${HEALTH.join(", ")}` }).default("healthy"),
    ports: z
      .array(
        port.transform((given) => ({ ...given, protocol: given.protocol ?? defaultProtocol(given.port) })),
        { error: "expected a list of ports" },
      )
      .max(REGISTRATION_PORTS_MAX, { error: `expected at most ${REGISTRATION_PORTS_MAX} ports` })
      .superRefine((ports, context) => {
        const seen = new Set<string>();
        ports.forEach(({ service, port: number }, i) => {
          const key = `${service}:${number}`;
          if (seen.has(key)) context.addIssue({ code: "custom", path: [i, "port"], message: `${key} is listed twice` });
          seen.add(key);
        });
      }),
    admin: socketAddress.optional(),
    outbound: socketAddress.optional(),
    upstreams: z
      .array(z.strictObject({ authority: text(259), address: socketAddress }), {
        error: "expected a list of upstreams",
      })
      .max(REGISTRATION_UPSTREAMS_MAX, { error: `expected at most ${REGISTRATION_UPSTREAMS_MAX} upstreams` })
      .default([]),
    ttlSeconds: integer(TTL_SECONDS_MIN, TTL_SECONDS_MAX),
  },
  { error: (issue) => (issue.code === "invalid_type" ? "expected a JSON object" : undefined) },
);

const identity = z.strictObject({ namespace: dnsLabel(), name: dnsLabel() });

/** Checks a body; what is wrong with it comes back at once. */
export function parseRegistration(
  namespace: string,
  name: string,
  value: unknown,
): { registration: Registration } | { errors: readonly FieldError[] } {
  const who = identity.safeParse({ namespace, name });
  const what = body.safeParse(value);
  if (who.success && what.success) {
    const { admin = "", outbound = "" } = what.data;
    return { registration: { ...who.data, ...what.data, admin, outbound } };
  }
  const issues = [...(who.error?.issues ?? []), ...(what.error?.issues ?? [])];
  return { errors: issues.slice(0, FIELD_ERRORS_MAX).map(fieldError) };
}

function fieldError(issue: z.core.$ZodIssue): FieldError {
  const field = issue.path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "");
  if (issue.code === "unrecognized_keys") return { field, message: `unknown: ${issue.keys.join(", ")}` };
  return { field, message: issue.message };
}

/** "127.0.0.1:80" or "[::1]:80" taken apart; undefined if it is neither, or the port is 0. */
export function parseSocketAddress(address: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2] ?? "";
  const number = Number(match?.[3]);
  if (isIP(host) !== (match?.[1] === undefined ? 4 : 6) || number < 1 || number > 65_535) return undefined;
  return { host, port: number };
}
