/** Does the control plane answer, and is it of our version? */
import type { Category } from "./check.ts";
import type { World } from "./world.ts";

export const api: Category<World> = {
  name: "heddle-api",
  checks: [
    {
      description: "can query the control plane's API",
      severity: "error",
      retry: true,
      fatal: true,
      async problems(world) {
        await world.about();
        return [];
      },
    },
    {
      description: "control plane is ready",
      severity: "error",
      retry: true,
      async problems(world) {
        return (await world.ready()) ? [] : ["/ready of its API does not say yes: it is starting, or about to end"];
      },
    },
    {
      description: "control plane serves xDS",
      severity: "warning",
      retry: true,
      async problems(world) {
        const { xds } = await world.about();
        if (xds === "") return ["it does not say yet where: it is starting"];
        if (await world.accepts(xds)) return [];
        return [`nothing accepts connections at ${xds} from here, so no sidecar of this machine can join`];
      },
    },
    {
      description: "xDS asks other hosts who they are",
      severity: "warning",
      async problems(world) {
        const { xds, insecureXds } = await world.about();
        return insecureXds ? [`--insecure-xds is given: whoever reaches ${xds} can read the mesh`] : [];
      },
    },
  ],
};

export const controlPlaneVersion: Category<World> = {
  name: "control-plane-version",
  checks: [
    {
      description: "control plane and cli versions match",
      severity: "warning",
      async problems(world) {
        const { version } = await world.about();
        return version === world.version ? [] : [`the control plane is ${version}, this command line ${world.version}`];
      },
    },
  ],
};
