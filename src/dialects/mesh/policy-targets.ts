/** The workloads of a mesh.yaml, as documents look at them. */
import type { PolicyTarget } from "../target.ts";
import type { MeshFile } from "./mesh-file.ts";

/** One for each instance. Its service account is called as the service, and so is the label `app` if it has none. */
export function policyTargets({ namespace, services }: MeshFile): readonly PolicyTarget[] {
  return services.flatMap(({ name: service, labels, ports, instances }) =>
    instances.map((instance) => ({
      name: instance.name,
      namespace,
      labels: { app: service, ...labels, ...instance.labels },
      serviceAccount: service,
      ports: ports.map(({ name, port }) => ({ service, name, port, appPort: 0 })),
    })),
  );
}
