/**
 * Subjects that take nothing but mutual TLS 1.3, and what gives it to them. No generator has client certificates, so an
 * HAProxy on the load's core puts the TLS on; it is charged to nobody.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { makeTestCa } from "../../test/support/identity.ts";
import type { Credentials } from "../../src/net/credentials.ts";
import { awaitListening, awaitOk, freePort } from "../ports.ts";
import { type Child, LOAD_CORE, PROXY_CORE, start } from "../processes.ts";
import { HAPROXY, ONE_SIDECAR } from "./names.ts";
import type { Subject } from "./subject.ts";

const SERVER = "spiffe://cluster.local/ns/shop/sa/price";
const SERVER_NAME = "price.shop.serviceaccount.identity.linkerd.cluster.local";
const CLIENT = "spiffe://cluster.local/ns/shop/sa/cart";

/** A P-256 leaf and one intermediate on each side, as files in a folder. */
export interface Certificates {
  readonly folder: string;
  readonly server: Credentials;
}

export async function writeCertificates(folder: string): Promise<Certificates> {
  const ca = await makeTestCa();
  const server = await ca.credentials(SERVER);
  const client = await ca.credentials(CLIENT);
  const mode = 0o600;
  writeFileSync(join(folder, "ca.pem"), ca.anchors);
  writeFileSync(join(folder, "server.pem"), server.chain + server.key, { mode });
  writeFileSync(join(folder, "client.pem"), client.chain + client.key, { mode });
  writeFileSync(join(folder, "server.json"), JSON.stringify(server), { mode });
  return { folder, server };
}

export async function startMtlsHaproxy(program: string, { folder }: Certificates, backend: number): Promise<Subject> {
  const port = await freePort();
  const tls = `ssl crt ${join(folder, "server.pem")} ca-file ${join(folder, "ca.pem")} verify required`;
  const text = haproxyConfig(
    `bind 127.0.0.1:${port} ${tls} ssl-min-ver TLSv1.3`,
    `http-reuse always\n  server one 127.0.0.1:${backend}`,
  );
  const child = await startHaproxy(program, folder, port, text, PROXY_CORE);
  return { name: HAPROXY, port, processes: [child] };
}

export async function startMtlsSidecar({ folder }: Certificates, backend: number): Promise<Subject> {
  const port = await freePort();
  const admin = await freePort();
  const script = join(import.meta.dirname, "mtls-sidecar.ts");
  const words = [port, admin, backend].map(String);
  const command = [process.execPath, script, ...words, join(folder, "server.json")];
  const child = start(ONE_SIDECAR, command, { cores: PROXY_CORE });
  await awaitOk(child, admin, "/ready");
  return { name: ONE_SIDECAR, port, processes: [child] };
}

/**
 * Puts TLS with a client certificate between a generator and a subject.
 *
 * @param handshakes a full handshake for each request, instead of connections that are kept
 * @returns where the generator finds the subject
 */
export async function startTlsClient(
  program: string,
  { folder }: Certificates,
  { port: target }: Subject,
  handshakes: boolean,
): Promise<{ port: number; child: Child }> {
  const port = await freePort();
  const tls = `ssl crt ${join(folder, "client.pem")} ca-file ${join(folder, "ca.pem")} verify required`;
  const server = `server one 127.0.0.1:${target} ${tls} sni str(${SERVER_NAME}) ssl-min-ver TLSv1.3`;
  const text = haproxyConfig(
    `bind 127.0.0.1:${port}`,
    handshakes
      ? `http-reuse never\n  option http-server-close\n  ${server} no-ssl-reuse pool-max-conn 0`
      : `http-reuse always\n  ${server}`,
  );
  const child = await startHaproxy(program, folder, port, text, LOAD_CORE);
  return { port, child };
}

async function startHaproxy(
  program: string,
  folder: string,
  port: number,
  text: string,
  cores: string,
): Promise<Child> {
  const config = join(folder, `mtls-${port}.cfg`);
  writeFileSync(config, text);
  const child = start(HAPROXY, [program, "-f", config], { cores });
  await awaitListening(child, port);
  return child;
}

function haproxyConfig(bind: string, backend: string): string {
  return `global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend front
  ${bind}
  default_backend back
backend back
  ${backend}
`;
}
