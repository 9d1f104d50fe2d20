/** All checks, in the order in which they are asked. */
import type { Category } from "./check.ts";
import { api, controlPlaneVersion } from "./control-plane.ts";
import { dataPlane, identityDataPlane } from "./data-plane.ts";
import { identity } from "./identity.ts";
import { preSetup } from "./machine.ts";
import { sources } from "./sources.ts";
import type { World } from "./world.ts";

export const MESH: readonly Category<World>[] = [
  api,
  controlPlaneVersion,
  sources,
  identity,
  identityDataPlane,
  dataPlane,
];

/** For `--proxy`. The control plane is asked for it all, so it must answer. */
export const DATA_PLANE: readonly Category<World>[] = [api, identityDataPlane, dataPlane];

export const PRE = [preSetup] as const;
