import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { defineCommand } from "../command.ts";
import { EXIT_FAILURE, Failure } from "../errors.ts";
import { LIFETIME_FLAG, parseLifetime } from "../identity/lifetime.ts";
import type { Io } from "../io.ts";
import { painter, plain } from "../output.ts";
import { LOG_LEVELS, type LogLevel } from "../../telemetry/log.ts";
import { parsePort } from "../values.ts";
import { ADDRESS_FLAGS, freeAddresses } from "../up/addresses.ts";
import { greeting, heddleWord } from "../up/greeting.ts";
import { checkDocuments, loadMesh } from "../up/load-mesh.ts";
import { LogMux } from "../up/log-mux.ts";
import { readyOrEnded, runMesh, whenAborted } from "../up/session.ts";
import type { MeshSupervisor } from "../up/supervisor.ts";
import { watchFile } from "../up/watch-file.ts";

export const DEFAULT_MESH_FILE = "mesh.yaml";
export const DEFAULT_BASE_PORT = "20000";

export const up = defineCommand({
  name: "up",
  description: `Runs every service of a mesh.yaml with a sidecar of its own, a control plane, and one more sidecar for you at the
keyboard. What crashes is started again. The file is watched: services that are added, removed or changed are started,
stopped or restarted, and a file with errors changes nothing.

A service finds its port in PORT, and the services that it calls in HEDDLE_UPSTREAM_<NAME>=host:port.
Ctrl-C stops everything in good order; a second Ctrl-C kills.`,
  flags: {
    file: {
      type: "string",
      short: "f",
      value: "FILE",
      file: true,
      default: DEFAULT_MESH_FILE,
      help: "Which services to run",
    },
    ...ADDRESS_FLAGS,
    "base-port": {
      type: "string",
      value: "PORT",
      default: DEFAULT_BASE_PORT,
      help: "First port for services and their sidecars",
    },
    "state-dir": {
      type: "string",
      value: "FOLDER",
      file: true,
      help: "What the control plane remembers (default: .heddle beside the file)",
    },
    transparent: {
      type: "boolean",
      help: "Give every instance a network namespace and an address of its own, so that programs call http://price:8080; needs root",
    },
    ...LIFETIME_FLAG,
    "log-level": {
      type: "string",
      choices: LOG_LEVELS,
      default: "warn",
      help: "Least severity that the control plane and the sidecars log",
    },
  },
  examples: [
    { does: "Run ./mesh.yaml", line: "heddle up" },
    {
      does: "Run the example shop, then call it",
      line: "heddle up -f examples/shop/mesh.yaml\n  curl -H 'Host: gateway' http://127.0.0.1:4140/api/products/1",
    },
    {
      does: "Run programs that know nothing of the mesh and call each other by name",
      line: "sudo heddle up --transparent",
    },
    {
      does: "A second mesh beside a running one",
      line: "heddle up --api 127.0.0.1:4280 --xds 127.0.0.1:4281 --outbound 127.0.0.1:4240 --admin 127.0.0.1:4291",
    },
  ],
  async run({ flags, io }) {
    const started = performance.now();
    const file = resolve(io.directory, flags.file);
    parseLifetime(flags["identity-lifetime"]);
    if (!existsSync(file)) {
      throw new Failure(`there is no file ${file}`, "Name the file with -f FILE. To see a mesh at work: heddle demo");
    }
    const { mesh, lines } = await loadMesh(file);
    for (const line of lines) io.stderr.write(`${line}\n`);
    if (mesh === undefined) return EXIT_FAILURE;
    const documents = await checkDocuments(mesh);
    for (const line of documents.lines) io.stderr.write(`${line}\n`);
    if (!documents.good) return EXIT_FAILURE;
    const addresses = await freeAddresses(flags);
    const paint = painter(io.stdout, io);
    const talk = painter(io.stderr, io);
    const logs = new LogMux(io.stdout, paint);
    for (const { instances } of mesh.services) for (const { name } of instances) logs.announce(`${name}/proxy`);
    const session = {
      transparent: flags.transparent,
      mesh,
      addresses,
      basePort: parsePort("--base-port", flags["base-port"]),
      stateDirectory: resolve(io.directory, flags["state-dir"] ?? resolve(dirname(file), ".heddle")),
      logLevel: flags["log-level"] as LogLevel,
      identityLifetime: flags["identity-lifetime"],
      io,
      log: {
        line: (name: string, text: string) => logs.write(name, text),
        notice: (name: string, text: string) => io.stderr.write(`heddle: ${talk("bold", name)} ${text}\n`),
      },
      colour: paint !== plain,
      onStopping: () => void io.stderr.write("heddle: stopping; once more to kill everything at once\n"),
    };
    return runMesh(session, async (supervisor, ended) => {
      const unwatch = watchFile(file, () => void reload(supervisor, file, io));
      if (await readyOrEnded(supervisor, ended)) {
        const seconds = (performance.now() - started) / 1_000;
        io.stderr.write(greeting({ mesh, addresses, heddle: heddleWord(io.directory), seconds }, talk));
      }
      await whenAborted(ended);
      unwatch();
      return 0;
    });
  },
});

async function reload(supervisor: MeshSupervisor, file: string, io: Io): Promise<void> {
  const { mesh, lines } = await loadMesh(file);
  for (const line of lines) io.stderr.write(`${line}\n`);
  if (mesh === undefined) {
    io.stderr.write("heddle: the mesh file has errors; what runs stays as it was\n");
    return;
  }
  try {
    await supervisor.apply(mesh);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    io.stderr.write(`heddle: ${error.message}\n`);
  }
}
