/** The control plane: sources in, one mesh, xDS and the HTTP API out. */
import { createServer, type Server } from "node:http";

import type { ConnectRouter } from "@connectrpc/connect";
import { getRequestListener } from "@hono/node-server";

import { defaultMeshPolicy } from "../dialects/mesh/mesh-file.ts";
import { linkerdName, parseSpiffeId } from "../model/identity.ts";
import { systemClock } from "../net/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import { VERSION } from "../telemetry/version.ts";
import { AdsServer } from "../xds/server.ts";
import { type Address, formatAddress } from "./address.ts";
import { createApi } from "./api.ts";
import { explain } from "./authz/explain.ts";
import { generate } from "./authz/generate.ts";
import { authzRows } from "./authz/list.ts";
import type { World } from "./authz/resolve.ts";
import { type Identities, identityOf } from "./identity-of.ts";
import type { RefusalReason } from "./identity/certify-service.ts";
import { ControlIdentity, defaultIdentitySettings, type IdentitySettings } from "./identity/identity.ts";
import { identityMetrics, refusalCounter } from "./identity/metrics.ts";
import { closeServer, ControlStartError, listen } from "./listen.ts";
import { buildMesh } from "./mesh-builder.ts";
import { MeshPublisher } from "./mesh-publisher.ts";
import { ControlMetrics } from "./metrics.ts";
import { Policies, policySettings } from "./policies.ts";
import { scrapeTargets } from "./scrape-targets.ts";
import { FileSource } from "./sources/file-source.ts";
import { RegistryStore } from "./sources/registry-store.ts";
import { Registry } from "./sources/registry.ts";
import { ResourceSource } from "./sources/resource-source.ts";
import type { SourceStatus } from "./sources/source.ts";
import { Scraper } from "./stat/scraper.ts";
import { edgeRows } from "./stat/edges.ts";
import { SeriesTable } from "./stat/series-table.ts";
import { SidecarAnswers } from "./stat/sidecar-answers.ts";
import { StatTable, type Subject } from "./stat/stat-table.ts";
import { type TokenFile, writeTokenFile } from "./token-file.ts";
import { xdsRefusals } from "./xds-refusals.ts";
import { listenXds } from "./xds-server.ts";

/** Connections to the API at one time. */
export const API_CONNECTIONS_MAX = 1_000;
/** Milliseconds in which a request to the API must have arrived. */
const API_REQUEST_TIMEOUT_MS = 30_000;

export { ControlStartError };

export interface ControlOptions {
  readonly api: Address;
  /** What changes by the API demand, and the folder where commands look for it; undefined: it is nowhere left. */
  readonly apiToken: { readonly secret: string; readonly folder: string | undefined };
  readonly xds: Address;
  /** Whoever reaches `xds` is served in plain, and asked nothing. Without it that holds of this host only. */
  readonly insecureXds?: boolean;
  /** Absolute paths of mesh.yaml files to follow. Where they contradict each other the earlier one holds. */
  readonly files: readonly string[];
  /** Where registrations and the certificate authority are kept; undefined: they are not. */
  readonly stateDirectory: string | undefined;
  /** The certificate authority; default: one of its own, in the state folder. */
  readonly identity?: IdentitySettings;
  readonly logger: Logger;
}

export interface RunningControl {
  readonly apiAddress: Address;
  readonly xdsAddress: Address;
  /** Leaves nothing behind: no socket, no timer, no watch, no unwritten registration. */
  close(): Promise<void>;
}

/**
 * Starts the control plane; it is ready to serve when this resolves. Bad mesh files are no reason to reject.
 *
 * @throws ControlStartError: an address that is not free, or a folder that cannot be used
 */
export async function startControl(options: ControlOptions): Promise<RunningControl> {
  const cleanups: (() => void | Promise<void>)[] = [];
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= closeAll(cleanups));
  try {
    const addresses = await start(options, cleanups);
    return { ...addresses, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function closeAll(cleanups: readonly (() => void | Promise<void>)[]): Promise<void> {
  for (const cleanup of cleanups.toReversed()) await cleanup();
}

/** What is started is closed by the last of `cleanups` first. */
async function start(
  options: ControlOptions,
  cleanups: (() => void | Promise<void>)[],
): Promise<{ apiAddress: Address; xdsAddress: Address }> {
  const { logger, insecureXds = false } = options;
  const clock = systemClock;
  const settings = options.identity ?? defaultIdentitySettings;
  let ready = false;
  let xdsAddress = "";

  const policies = new Policies(logger);
  const documents = new ResourceSource({ clock, logger, onChange: () => publisher.changed() });
  const ads = new AdsServer({
    logger,
    version: VERSION,
    onForeign: (detail, who) => onRefused("namespace", detail, who),
  });
  const publisher = new MeshPublisher({
    clock,
    logger,
    build: () =>
      buildMesh(
        files.flatMap(({ meshFile }) => meshFile ?? []),
        registry.all(),
        { trustDomain: settings.trustDomain, policyOf: policies.forOneBuild(documents.basis) },
      ),
    publish: (mesh) => {
      ads.setMesh(mesh);
      metrics.pushes.inc();
    },
  });
  let store: RegistryStore | undefined;
  const registry = new Registry({
    clock,
    logger,
    onChange: () => {
      publisher.changed();
      store?.changed();
    },
  });
  const files = [...new Set(options.files)].map(
    (file) => new FileSource({ file, clock, logger, onChange: () => fileChanged() }),
  );
  function fileChanged(): void {
    publisher.changed();
    requestDocuments(documents, files, settings.trustDomain);
    void documents.refresh();
  }
  const loadedAt = new Date().toISOString();
  const sources = (): SourceStatus[] => [
    ...files.map((file) => file.status),
    ...documents.statuses,
    { name: "registrations", kind: "registry", state: "ok", loadedAt, diagnostics: [] },
    policies.status(loadedAt),
  ];
  const table = new StatTable();
  const series = new SeriesTable();
  const answers = new SidecarAnswers();
  const metrics = new ControlMetrics(() => {
    const nodes = ads.nodes();
    const { services, endpoints } = publisher.mesh;
    return {
      connectedProxies: nodes.length,
      registeredWorkloads: registry.size,
      measuredWorkloads: table.size,
      samplesRefused: table.refused + series.refused,
      services: services.length,
      endpoints: [...endpoints.values()].reduce((sum, list) => sum + list.length, 0),
      sources: new Map(sources().map(({ name, state }) => [name, state === "ok"])),
      xds: nodes.map(({ id, connectedSince, acked, nacked }) => {
        return { stream: `${id} ${connectedSince.getTime()}`, acked, nacked };
      }),
    };
  });

  cleanups.push(
    () => publisher.close(),
    () => registry.close(),
  );
  if (options.stateDirectory !== undefined) {
    const opened = await openStore(options.stateDirectory, registry, logger);
    cleanups.push(() => opened.close());
    store = opened;
  }
  cleanups.push(() => documents.close());
  // After the store, so that what it writes last is still there.
  cleanups.push(() =>
    files.reduce<Promise<void>>((before, file) => before.then(() => file.close()), Promise.resolve()),
  );
  for (const file of files) await file.start();
  requestDocuments(documents, files, settings.trustDomain);
  await documents.start();
  const onRefused = xdsRefusals(metrics.xdsRefused, clock, logger);
  const identity = await openIdentity(options, settings, refusalCounter(metrics.registry));
  identityMetrics(metrics.registry, identity, Date.now);
  cleanups.push(() => identity.close());
  // So that the first question is answered from everything known.
  void publisher.mesh;

  const identities = (): Identities => ({ trustDomain: settings.trustDomain, certified: identity.certified });
  const world = (): World => ({ mesh: publisher.mesh, registrations: registry.all(), ...identities() });
  const api = createApi({
    version: VERSION,
    apiToken: options.apiToken.secret,
    xds: () => xdsAddress,
    insecureXds,
    registry,
    ready: () => ready,
    mesh: () => publisher.mesh,
    nodes: () => ads.nodes().map((node) => ({ ...node, ...answers.of(node) })),
    sources,
    identity,
    stat: (query) => table.rows(query, publisher.mesh, clock.now()),
    edges: (query) => {
      const known = identities();
      return edgeRows(series, query, clock.now(), (caller) => linkerdNameOf(registry, known, caller));
    },
    authz: {
      list: (query) => authzRows(query, world(), series, clock.now()),
      explain: (request) => explain(request, world()),
      generate: (query) => generate(query, world(), series, clock.now()),
    },
    metrics: () => metrics.registry.expose(),
    onInternalError: (error, path) => logger.error("a request to the API failed", { path, reason: error.stack }),
  });
  const answer = getRequestListener(api.fetch);
  const server = createServer({ requestTimeout: API_REQUEST_TIMEOUT_MS }, (request, response) => {
    void answer(request, response);
  });
  server.maxConnections = API_CONNECTIONS_MAX;
  let tokenFile: TokenFile | undefined;
  // After the listener: as long as changes can be asked for, the file is there.
  cleanups.push(() => tokenFile?.remove());
  const apiAddress = await listen(server, options.api, "API", "--api");
  cleanups.push(() => closeApi(server));
  tokenFile = leaveToken(options, apiAddress);

  const routes = (router: ConnectRouter): void => {
    ads.register(router);
    identity.register(router);
  };
  const credentials = await identity.serverCertificate();
  cleanups.push(() => credentials.close());
  const xds = await listenXds({
    address: options.xds,
    insecure: insecureXds,
    credentials,
    trustDomain: settings.trustDomain,
    clock,
    now: Date.now,
    logger,
    onRefused,
    routes,
  });
  xdsAddress = formatAddress(xds.address);
  cleanups.push(
    () => xds.close(),
    () => ads.close(),
  );

  const scraper = new Scraper({
    clock,
    targets: () => {
      const targets = scrapeTargets(ads.nodes(), registry.all());
      answers.keep(targets);
      return targets;
    },
    onSample: (target, sample) => {
      metrics.scrapes.inc();
      answers.answered(target, sample.ready);
      metrics.malformedLines.inc(sample.malformed);
      const ageMs = sample.startedAt === 0 ? undefined : Date.now() - sample.startedAt * 1_000;
      // Whoever has no service serves nobody.
      if (target.service !== "") table.add(target, sample, clock.now(), ageMs);
      series.add(target, sample.series, clock.now(), ageMs);
    },
    onFailure: (target, reason) => {
      metrics.scrapeFailures.labels({ reason }).inc();
      answers.failed(target, reason);
      logger.debug("sidecar gave no metrics", { workload: target.workload, admin: target.admin, reason });
    },
  });
  scraper.start();
  cleanups.push(() => scraper.close());

  ready = true;
  logger.info("control plane is ready", {
    api: formatAddress(apiAddress),
    ...(tokenFile === undefined ? {} : { apiTokenFile: tokenFile.file }),
    xds: xdsAddress,
    services: publisher.mesh.services.length,
    workloads: registry.size,
  });
  return { apiAddress, xdsAddress: xds.address };
}

/** What all mesh files say together; nothing as long as it is not known what one of them says. */
function requestDocuments(documents: ResourceSource, files: readonly FileSource[], trustDomain: string): void {
  const known = files.flatMap(({ meshFile }) => meshFile ?? []);
  if (known.length < files.length) return;
  documents.request({
    groups: known.map(({ resourcePaths, namespace }) => ({ paths: resourcePaths, namespace })),
    settings: policySettings(known[0]?.policy ?? defaultMeshPolicy, trustDomain),
  });
}

/** Linkerd's name of whom a workload proves to be; "" for nobody. */
function linkerdNameOf(registry: Registry, known: Identities, { namespace, workload: name }: Subject): string {
  const serviceAccount = registry.get(namespace, name)?.serviceAccount ?? "";
  const identity = parseSpiffeId(identityOf({ namespace, name }, serviceAccount, known));
  return identity === undefined ? "" : linkerdName(identity);
}

/** Only now, since at an address that is not free another control plane has its own there. */
function leaveToken({ apiToken: { secret, folder } }: ControlOptions, address: Address): TokenFile | undefined {
  if (folder === undefined) return undefined;
  try {
    return writeTokenFile(folder, address, secret);
  } catch (error) {
    const { message } = error as Error;
    const instead = "set HEDDLE_API_TOKEN here and for the commands that change the mesh";
    throw new ControlStartError(`cannot leave the API token in ${folder}: ${message}; or ${instead}`, { cause: error });
  }
}

async function openStore(folder: string, registry: Registry, logger: Logger): Promise<RegistryStore> {
  const store = new RegistryStore({ folder, clock: systemClock, logger, registrations: () => registry.all() });
  try {
    registry.restore(await store.load());
  } catch (error) {
    throw new ControlStartError(`cannot use the state folder ${folder}: ${(error as Error).message}`, { cause: error });
  }
  return store;
}

async function openIdentity(
  { stateDirectory, logger }: ControlOptions,
  settings: IdentitySettings,
  onRefused: (reason: RefusalReason) => void,
): Promise<ControlIdentity> {
  try {
    return await ControlIdentity.open({
      ...settings,
      stateDirectory,
      logger,
      onRefused,
      clock: systemClock,
      now: Date.now,
    });
  } catch (error) {
    throw new ControlStartError(`no certificate authority: ${(error as Error).message}`, { cause: error });
  }
}

async function closeApi(server: Server): Promise<void> {
  const closed = closeServer(server);
  server.closeAllConnections();
  await closed;
}
