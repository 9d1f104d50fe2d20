import { resolve as resolvePath } from "node:path";
import { defineCommand } from "../command.ts";
import { loggerOf, LOG_FLAGS } from "../log-flags.ts";
import { onEndSignals, signalExitCode } from "../signals.ts";
import { parseAddress, parsePrivateAddress } from "../values.ts";
import { Failure } from "../errors.ts";

/** Where the control plane is when nobody says otherwise. */
export const DEFAULT_API = "127.0.0.1:4180";
export const DEFAULT_XDS = "127.0.0.1:4181";

export const control = defineCommand({
  name: "control",
  description: `Runs the control plane: it knows the services of files and of registrations, and tells sidecars over xDS.
\`heddle up\` starts one by itself.`,
  flags: {
    api: {
      type: "string",
      value: "IP:PORT",
      default: DEFAULT_API,
      help: "Listener of the HTTP API, for this command line",
    },
    "insecure-api": {
      type: "boolean",
      help: "Allow --api on an address that other hosts reach: whoever does can change the mesh",
    },
    xds: { type: "string", value: "IP:PORT", default: DEFAULT_XDS, help: "Listener for xDS (gRPC), for sidecars" },
    file: {
      type: "string",
      short: "f",
      multiple: true,
      value: "FILE",
      file: true,
      help: "A mesh.yaml to read and to watch",
    },
    "state-dir": {
      type: "string",
      value: "FOLDER",
      file: true,
      help: "Where registrations are kept, so that a restart knows them; without it they are not",
    },
    ...LOG_FLAGS,
  },
  examples: [
    { does: "A control plane for programs that join with `heddle run`", line: "heddle control" },
    { does: "One that survives a restart and watches a file", line: "heddle control -f mesh.yaml --state-dir .heddle" },
  ],
  async run({ flags, io }) {
    const { ControlStartError, startControl } = await import("../../control/control.ts");
    const stateDirectory = flags["state-dir"];
    const running = await startControl({
      api: parsePrivateAddress("--api", flags.api, flags["insecure-api"]),
      xds: parseAddress("--xds", flags.xds),
      files: flags.file.map((file) => resolvePath(io.directory, file)),
      stateDirectory: stateDirectory === undefined ? undefined : resolvePath(io.directory, stateDirectory),
      logger: loggerOf(flags, io),
    }).catch((error: unknown) => {
      throw error instanceof ControlStartError ? new Failure(error.message) : error;
    });
    return new Promise<number>((resolve) => {
      onEndSignals({
        first: () => void running.close().then(() => resolve(0)),
        again: (signal) => process.exit(signalExitCode(signal)),
      });
    });
  },
});
