/** The forms of flag values: addresses, durations, sizes. Every error names the flag, what was found and what was expected. */
import { isIP } from "node:net";
import type { ApplicationAddress, SocketAddress } from "../proxy/config.ts";
import { UsageError } from "./errors.ts";

/**
 * "127.0.0.1:4140" or "[::1]:4140". Port 0 lets the system choose.
 *
 * @throws UsageError
 */
export function parseAddress(flag: string, text: string): SocketAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const version = match?.[1] === undefined ? 4 : 6;
  if (match !== null && isIP(host) === version && port <= 65_535) return { host, port };
  const hint = host === "localhost" ? `Say 127.0.0.1:${match?.[3]}.` : "";
  throw new UsageError(`${flag}: expected IP:PORT like 127.0.0.1:4140 or [::1]:4140, found "${text}"`, hint);
}

/** Whether only this host reaches a listener there. */
export function isLoopback({ host }: SocketAddress): boolean {
  return host.startsWith("127.") || host === "::1";
}

/**
 * Like {@link parseAddress}, for listeners that ask nobody who they are: only this host may reach them.
 *
 * @param insecure whether the flag `--insecure-…` of the same name, that says otherwise, was given; undefined: there is none
 * @throws UsageError
 */
export function parsePrivateAddress(flag: string, text: string, insecure: boolean | undefined): SocketAddress {
  const address = parseAddress(flag, text);
  if (insecure === true || isLoopback(address)) return address;
  const instead = `127.0.0.1:${address.port}`;
  const hint =
    insecure === undefined ? "" : `, or add --insecure-${flag.slice(2)} if only friends reach ${address.host}`;
  throw new UsageError(
    `${flag}: ${text} is reached from other hosts, and nobody is asked there who they are`,
    `Say ${flag} ${instead}${hint}.`,
  );
}

/** The form that {@link parseAddress} reads. */
export function formatAddress(address: SocketAddress): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Bytes of a Unix socket's path: what Linux has room for (unix(7)), without the NUL. */
const SOCKET_PATH_BYTES_MAX = 107;

/** "127.0.0.1:8080", "[::1]:8080" or "unix:/run/app.sock". @throws UsageError */
export function parseTarget(flag: string, text: string): ApplicationAddress {
  if (!text.startsWith("unix:")) return parseAddress(flag, text);
  const path = text.slice("unix:".length);
  const bytes = Buffer.byteLength(path);
  if (path.startsWith("/") && bytes <= SOCKET_PATH_BYTES_MAX && !path.includes("\0")) return { path };
  const found = bytes > SOCKET_PATH_BYTES_MAX ? `one of ${bytes}` : `"${text}"`;
  throw new UsageError(
    `${flag}: expected unix: and an absolute path of at most ${SOCKET_PATH_BYTES_MAX} bytes, found ${found}`,
  );
}

const MILLISECONDS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * "500ms", "20s", "1.5m", "1h".
 *
 * @param range the least and the greatest that is allowed, as they would be written
 * @returns milliseconds
 * @throws UsageError
 */
export function parseDuration(flag: string, text: string, range: readonly [string, string]): number {
  const value = durationMs(text);
  const [least, most] = range;
  const fits = value !== undefined && value >= (durationMs(least) ?? 0) && value <= (durationMs(most) ?? 0);
  if (fits) return value;
  throw new UsageError(
    `${flag}: expected a duration from ${least} to ${most} like 500ms, 20s or 1.5m, found "${text}"`,
  );
}

function durationMs(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * MILLISECONDS[match[2] as keyof typeof MILLISECONDS];
}

/** @throws UsageError */
export function parsePort(flag: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new UsageError(`${flag}: expected a port from 1 to 65535, found "${text}"`);
}

/** A whole number from 1 to `max`. @throws UsageError */
export function parseCount(flag: string, text: string, max: number): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= max) return count;
  throw new UsageError(`${flag}: expected a whole number from 1 to ${max}, found "${text}"`);
}

/** A DNS label (RFC 1123): what services, workloads and namespaces are called. @throws UsageError */
export function parseLabel(flag: string, text: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text;
  const form = "lower-case letters, digits and hyphens, at most 63, not starting or ending with a hyphen";
  throw new UsageError(`${flag}: expected ${form}; found "${text}"`);
}

/** A DNS name in lower case: "cluster.local". @throws UsageError */
export function parseTrustDomain(flag: string, text: string): string {
  if (text.length <= 128 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text)) return text;
  throw new UsageError(`${flag}: expected a DNS name in lower case like cluster.local, found "${text}"`);
}

/** An authority as callers write it: "price", "price.shop", "price:8080". @throws UsageError */
export function parseAuthority(flag: string, text: string): string {
  const match = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?(?::(\d{1,5}))?$/i.exec(text);
  const port = match?.[2];
  if (match !== null && (port === undefined || (Number(port) >= 1 && Number(port) <= 65_535)))
    return text.toLowerCase();
  throw new UsageError(`${flag}: expected a service like price, price.shop or price:8080, found "${text}"`);
}
