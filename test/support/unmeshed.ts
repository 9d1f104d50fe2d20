/** Registers what has no sidecar, so that callers reach it directly. */
import type { PortProtocol } from "../../src/model/service.ts";
import type { TestMesh } from "./mesh.ts";

/** @param port where it listens on 127.0.0.1 */
export async function registerUnmeshed(
  mesh: TestMesh,
  service: string,
  protocol: PortProtocol,
  port: number,
): Promise<void> {
  const api = `http://127.0.0.1:${mesh.control.apiAddress.port}/api/v1/workloads/default/${service}-1`;
  const main = { service, name: "main", port: 80, protocol, address: "127.0.0.1", addressPort: port, meshed: false };
  const locality = { region: "", zone: "", subZone: "" };
  const response = await fetch(api, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ labels: {}, locality, weight: 1, health: "healthy", ports: [main], ttlSeconds: 600 }),
  });
  if (!response.ok) throw new Error(`the control plane refused ${service}: ${await response.text()}`);
}
