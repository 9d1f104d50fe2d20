/** Registers what has no sidecar, so that callers reach it directly. */
import { AUTHORIZED } from "./api-token.ts";
import type { PortProtocol } from "../../src/model/service.ts";
import type { TestMesh } from "./mesh.ts";
import { until } from "./until.ts";

/** Resolves when the mesh knows it. @param port where it listens on 127.0.0.1 */
export async function registerUnmeshed(
  mesh: TestMesh,
  service: string,
  protocol: PortProtocol,
  port: number,
): Promise<void> {
  const api = `http://127.0.0.1:${mesh.control.apiAddress.port}/api/v1`;
  const main = { service, name: "main", port: 80, protocol, address: "127.0.0.1", addressPort: port, meshed: false };
  const locality = { region: "", zone: "", subZone: "" };
  const response = await fetch(`${api}/workloads/default/${service}-1`, {
    method: "PUT",
    headers: { "content-type": "application/json", ...AUTHORIZED },
    body: JSON.stringify({ labels: {}, locality, weight: 1, health: "healthy", ports: [main], ttlSeconds: 600 }),
  });
  if (!response.ok) throw new Error(`the control plane refused ${service}: ${await response.text()}`);
  await until(`${service} is published`, async () => {
    const services = (await (await fetch(`${api}/services`)).json()) as readonly { readonly name: string }[];
    return services.some(({ name }) => name === service);
  });
}
