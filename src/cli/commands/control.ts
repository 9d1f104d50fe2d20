import { resolve as resolvePath } from "node:path";
import { newApiToken } from "../../control/bearer.ts";
import type { IdentitySettings } from "../../control/identity/identity.ts";
import { tokenFolder } from "../../control/token-file.ts";
import { DEFAULT_TRUST_DOMAIN } from "../../model/identity.ts";
import { defineCommand } from "../command.ts";
import { givenApiToken } from "../control-client.ts";
import { LIFETIME_FLAG, parseLifetime } from "../identity/lifetime.ts";
import { loggerOf, LOG_FLAGS } from "../log-flags.ts";
import { onEndSignals, signalExitCode } from "../signals.ts";
import { parseAddress, parsePrivateAddress, parseTrustDomain } from "../values.ts";
import { Failure, UsageError } from "../errors.ts";
import { API_TOKEN_VARIABLE } from "../io.ts";

/** Where the control plane is when nobody says otherwise. */
export const DEFAULT_API = "127.0.0.1:4180";
export const DEFAULT_XDS = "127.0.0.1:4181";

export const control = defineCommand({
  name: "control",
  description: `Runs the control plane: it knows the services of files and of registrations, and tells sidecars over xDS.
\`heddle up\` starts one by itself. Whoever changes the mesh must have its API token: commands of the same user find it by
themselves; to others give the one that you put into ${API_TOKEN_VARIABLE}.`,
  flags: {
    api: {
      type: "string",
      value: "IP:PORT",
      default: DEFAULT_API,
      help: "Listener of the HTTP API, for this command line",
    },
    "insecure-api": {
      type: "boolean",
      help: "Allow --api on an address that other hosts reach: whoever does can read everything; changes demand the API token, which then crosses the network in clear",
    },
    xds: {
      type: "string",
      value: "IP:PORT",
      default: DEFAULT_XDS,
      help: "Listener for xDS (gRPC), for sidecars; those of other hosts come in TLS and prove who they are",
    },
    "insecure-xds": {
      type: "boolean",
      help: "Serve other hosts at --xds in plain, too: whoever reaches it can read the mesh; for gRPC programs and Envoys",
    },
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
      help: "Where registrations and the keys of the certificate authority are kept; without it a restart forgets them",
    },
    "identity-trust-domain": {
      type: "string",
      value: "DOMAIN",
      default: DEFAULT_TRUST_DOMAIN,
      help: "Trust domain of the mesh: what every identity in it begins with",
    },
    ...LIFETIME_FLAG,
    "identity-roots": {
      type: "string",
      value: "FILE",
      file: true,
      help: "Certificate authority from files instead of one of our own: the roots (PEM); the three files are watched",
    },
    "identity-issuer-cert": {
      type: "string",
      value: "FILE",
      file: true,
      help: "The certificate that signs those of sidecars, and those between it and a root (PEM)",
    },
    "identity-issuer-key": {
      type: "string",
      value: "FILE",
      file: true,
      help: "Its key (PEM), readable by its owner only",
    },
    ...LOG_FLAGS,
  },
  examples: [
    { does: "A control plane for programs that join with `heddle run`", line: "heddle control" },
    {
      does: "One whose certificates are signed by an issuer of yours",
      line: "heddle control --identity-roots roots.pem --identity-issuer-cert issuer.pem --identity-issuer-key issuer.key",
    },
    {
      does: "One for sidecars on other machines; people still use it on this one only",
      line: "heddle control --xds 0.0.0.0:4181 --state-dir .heddle",
    },
    { does: "One that survives a restart and watches a file", line: "heddle control -f mesh.yaml --state-dir .heddle" },
  ],
  async run({ flags, io }) {
    const identity = identitySettings(flags, io.directory);
    const given = givenApiToken(io);
    // A given one is left nowhere: who gave it to us gives it to the commands.
    const apiToken =
      given === undefined
        ? { secret: newApiToken(), folder: tokenFolder(io.env) }
        : { secret: given, folder: undefined };
    const { ControlStartError, startControl } = await import("../../control/control.ts");
    const stateDirectory = flags["state-dir"];
    const running = await startControl({
      api: parsePrivateAddress("--api", flags.api, flags["insecure-api"]),
      apiToken,
      xds: parseAddress("--xds", flags.xds),
      insecureXds: flags["insecure-xds"] ?? false,
      files: flags.file.map((file) => resolvePath(io.directory, file)),
      stateDirectory: stateDirectory === undefined ? undefined : resolvePath(io.directory, stateDirectory),
      identity,
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

interface IdentityFlags {
  readonly "identity-trust-domain": string;
  readonly "identity-lifetime": string;
  readonly "identity-roots": string | undefined;
  readonly "identity-issuer-cert": string | undefined;
  readonly "identity-issuer-key": string | undefined;
}

/** @throws UsageError */
function identitySettings(flags: IdentityFlags, directory: string): IdentitySettings {
  const given = [flags["identity-roots"], flags["identity-issuer-cert"], flags["identity-issuer-key"]];
  const [roots, issuerCertificate, issuerKey] = given.map((file) => file && resolvePath(directory, file));
  const settings = {
    trustDomain: parseTrustDomain("--identity-trust-domain", flags["identity-trust-domain"]),
    lifetimeMs: parseLifetime(flags["identity-lifetime"]),
  };
  if (roots && issuerCertificate && issuerKey) return { ...settings, files: { roots, issuerCertificate, issuerKey } };
  if (given.every((file) => file === undefined)) return { ...settings, files: undefined };
  throw new UsageError(
    "--identity-roots, --identity-issuer-cert and --identity-issuer-key belong together",
    "Give all three, or none: then the control plane keeps a certificate authority of its own.",
  );
}
