/** Opening and closing the control plane's listeners, with errors that say what to do. */
import type { AddressInfo, Server } from "node:net";

import { type Address, formatAddress } from "./address.ts";

/** Milliseconds in which whoever is in the way may say who it is. */
const INTRODUCTION_TIMEOUT_MS = 500;

/** Why the control plane cannot start, in words for the person who started it. */
export class ControlStartError extends Error {}

/**
 * Resolves with the address once it listens.
 *
 * @param what for the message: "API"
 * @param flag how the address is given on the command line: "--api"
 * @throws ControlStartError that says the address, what is in the way, and what to do
 */
export async function listen(server: Server, address: Address, what: string, flag: string): Promise<Address> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host: address.host, port: address.port, exclusive: true }, resolve);
  try {
    await promise;
  } catch (error) {
    throw new ControlStartError(await explain(error as NodeJS.ErrnoException, address, what, flag), { cause: error });
  } finally {
    server.off("error", reject);
  }
  const { address: host, port } = server.address() as AddressInfo;
  return { host, port };
}

async function explain(error: NodeJS.ErrnoException, address: Address, what: string, flag: string): Promise<string> {
  const where = `cannot listen on ${formatAddress(address)} (${what})`;
  const elsewhere = `${flag} ${formatAddress({ host: address.host, port: 0 })} takes any free port`;
  switch (error.code ?? "") {
    case "EADDRINUSE":
      return `${where}: ${await inTheWay(address)}; ${elsewhere}`;
    case "EACCES":
      return `${where}: this user may not use port ${address.port}; ${elsewhere}`;
    case "EADDRNOTAVAIL":
      return `${where}: this machine has no address ${address.host}; give one that it has with ${flag}`;
    default:
      return `${where}: ${error.message}`;
  }
}

async function inTheWay(address: Address): Promise<string> {
  try {
    const url = `http://${formatAddress(address)}/api/v1/version`;
    const response = await fetch(url, { signal: AbortSignal.timeout(INTRODUCTION_TIMEOUT_MS), redirect: "error" });
    const text = await response.text();
    const { version } = JSON.parse(text) as { version?: unknown };
    if (response.headers.get("server") === "heddle" && typeof version === "string") {
      return `another control plane (heddle ${version}) is already there; stop it or use it`;
    }
  } catch {
    // Whatever it is, it is none of ours.
  }
  return "another program is already there (another control plane?); stop it";
}

/** Resolves once the server listens no more. Idempotent. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  await promise;
}
