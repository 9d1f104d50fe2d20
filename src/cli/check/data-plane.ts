/** Do the sidecars do what the control plane wants of them? Judged by what the control plane hears from them. */
import type { ProxyRow, WorkloadRow } from "../control-client.ts";
import type { Category } from "./check.ts";
import { nameOf, type World } from "./world.ts";

/** Times without an answer, about a second apart, after which a sidecar counts as silent: once may be a busy machine. */
export const UNANSWERED_MAX = 3;
/** The part of a certificate's life that is left at least: two thirds of the time for its renewal have passed then. */
export const LIFE_LEFT_MIN = 0.1;

export const identityDataPlane: Category<World> = {
  name: "heddle-identity-data-plane",
  checks: [
    {
      description: "data plane proxies have certificates",
      severity: "error",
      retry: true,
      async problems(world) {
        const { proxies } = await world.identity();
        const certified = new Set(proxies.filter(({ notAfter }) => notAfter !== null).map(nameOf));
        const connected = new Set((await world.sidecars()).map(nameOf));
        return (await world.meshed())
          .filter((one) => one.serviceAccount !== "" && connected.has(nameOf(one)) && !certified.has(nameOf(one)))
          .map((one) => `${nameOf(one)} is to prove to be "${one.serviceAccount}", and has no certificate`);
      },
    },
    {
      description: "data plane proxies' certificates are within their validity period",
      severity: "error",
      retry: true,
      async problems(world) {
        const { proxies } = await world.identity();
        return proxies
          .filter(({ notAfter }) => notAfter !== null && Date.parse(notAfter) <= world.now)
          .map((proxy) => `that of ${nameOf(proxy)} has expired at ${proxy.notAfter}`);
      },
    },
    {
      description: "data plane proxies' certificates are renewed in time",
      severity: "warning",
      retry: true,
      async problems(world) {
        const { proxies, issuer, leafLifetimeSeconds } = await world.identity();
        const due = world.now + leafLifetimeSeconds * 1_000 * LIFE_LEFT_MIN;
        return proxies
          .filter(({ notAfter }) => {
            if (notAfter === null) return false;
            const end = Date.parse(notAfter);
            // None can be made that is longer good than its issuer.
            return end > world.now && end < due && end < Date.parse(issuer.notAfter);
          })
          .map(
            (proxy) => `that of ${nameOf(proxy)} expires at ${proxy.notAfter}, and should have been replaced by now`,
          );
      },
    },
    {
      description: "data plane proxies certificate match CA",
      severity: "error",
      retry: true,
      async problems(world) {
        const { proxies, roots, issuer, rotation } = await world.identity();
        // Who lags behind is what a rotation waits for, and told there.
        if (rotation !== null) return [];
        return proxies
          .filter(({ notAfter }) => notAfter !== null)
          .flatMap((proxy) => {
            if (roots.some(({ fingerprint }) => !proxy.roots.includes(fingerprint))) {
              return [`${nameOf(proxy)} does not trust all trust anchors`];
            }
            return proxy.issuer === issuer.fingerprint ? [] : [`that of ${nameOf(proxy)} is by another issuer`];
          });
      },
    },
  ],
};

export const dataPlane: Category<World> = {
  name: "heddle-data-plane",
  checks: [
    {
      description: "data plane namespace exists",
      severity: "error",
      retry: true,
      async problems(world) {
        if (world.namespace === undefined) return [];
        const found = (await world.meshed()).length + (await world.proxies()).length;
        return found > 0 ? [] : [`there is no sidecar in the namespace "${world.namespace}"`];
      },
    },
    {
      description: "data plane proxies are connected to the control plane",
      severity: "error",
      retry: true,
      async problems(world) {
        const connected = new Set((await world.sidecars()).map(nameOf));
        return (await world.meshed())
          .filter((one) => !connected.has(nameOf(one)))
          .map((one) => `${nameOf(one)} is registered, and its sidecar (${one.admin}) is not connected`);
      },
    },
    {
      description: "data plane proxies are ready",
      severity: "error",
      retry: true,
      async problems(world) {
        const registered = new Map((await world.meshed()).map((one) => [nameOf(one), one]));
        return (await world.sidecars()).flatMap((proxy) => notReady(proxy, registered.get(nameOf(proxy))));
      },
    },
    {
      description: "data plane and control plane versions match",
      severity: "warning",
      async problems(world) {
        const { version } = await world.about();
        return (await world.sidecars())
          .filter((proxy) => proxy.version !== version)
          .map((proxy) => `${nameOf(proxy)} is ${proxy.version}, the control plane ${version}`);
      },
    },
    {
      description: "data plane proxies accept their configuration",
      severity: "error",
      async problems(world) {
        return (await world.proxies()).flatMap((proxy) => {
          const who = proxy.workload === "" ? `${proxy.program} ${proxy.id}` : nameOf(proxy);
          return proxy.refused.map(
            ({ type, name, message, at }) => `${who} refuses ${type} "${name}" since ${at}: ${message}`,
          );
        });
      },
    },
    {
      description: "data plane workloads are healthy",
      severity: "warning",
      retry: true,
      async problems(world) {
        return (await world.meshed())
          .filter(({ health }) => health === "unhealthy")
          .map((one) => `${nameOf(one)} is unhealthy: its program or its sidecar is not ready`);
      },
    },
  ],
};

function notReady(proxy: ProxyRow, registration: WorkloadRow | undefined): string[] {
  const who = nameOf(proxy);
  if (proxy.unanswered >= UNANSWERED_MAX) {
    return [`${who} did not answer the last ${proxy.unanswered} times at ${proxy.admin} (${proxy.failure})`];
  }
  if (proxy.ready !== false) return [];
  if (registration === undefined) return [`${who} is not ready: nobody has registered it, so it lets nobody in`];
  return [`${who} is not ready: it waits for a certificate or for its policy, or it is draining`];
}
