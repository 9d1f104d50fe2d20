import { defineCommand, type FlagValues } from "../command.ts";
import { CONTROL_FLAG, ControlClient, type IdentityAnswer } from "../control-client.ts";
import { UsageError } from "../errors.ts";
import { watchRotation } from "../identity/rotation.ts";
import { identityJson, identityText } from "../identity/show.ts";
import type { Io } from "../io.ts";
import { json } from "../output.ts";
import { parseLabel } from "../values.ts";

const ACTIONS = ["show", "rotate", "token"] as const;

const FLAGS = {
  issuer: { type: "boolean", help: "rotate: only the issuer; the root above it stays" },
  namespace: { type: "string", short: "n", value: "NAME", help: "token: namespace of the workload (default: default)" },
  "service-account": {
    type: "string",
    value: "NAME",
    help: "token: name in the certificate (default: the workload's)",
  },
  output: { type: "string", short: "o", choices: ["table", "json"], default: "table", help: "Form of the output" },
  ...CONTROL_FLAG,
} as const;

export const identity = defineCommand({
  name: "identity",
  description: `Shows who certifies the sidecars of the mesh and what each of them goes by (show), changes the root and the issuer of
their certificates (rotate), or makes a join token for a sidecar that you start yourself (token).

rotate adds a new root, waits until every sidecar trusts it, lets a new issuer sign, waits until every sidecar has a new
certificate, and only then takes the old root away. No sidecar is restarted and no connection is cut. The control plane does
it by itself: this command watches, and can be ended and started again.`,
  positionals: { form: "[show | rotate | token WORKLOAD]", max: 2, choices: ACTIONS },
  flags: FLAGS,
  examples: [
    { does: "The roots, the issuer, and what each sidecar has of them", line: "heddle identity show" },
    { does: "New root and new issuer, while everything runs", line: "heddle identity rotate" },
    {
      does: "A sidecar by hand",
      line: `HEDDLE_JOIN_TOKEN=$(heddle identity token price-1 --service-account price) \\
      heddle proxy --workload price-1 --service price --xds 127.0.0.1:4181`,
    },
    {
      does: "The same on another machine than the control plane, which is at 10.0.0.5: the token has its roots, too",
      line: `HEDDLE_JOIN_TOKEN=$(ssh 10.0.0.5 heddle identity token price-1 --service-account price) \\
      heddle proxy --workload price-1 --service price --xds 10.0.0.5:4181`,
    },
  ],
  async run({ flags, positionals, io }) {
    const [action = "show", workload] = positionals as [(typeof ACTIONS)[number]?, string?];
    mustBelong(flags, action, workload);
    const client = ControlClient.from(flags.control, io);
    if (action === "token") return token(client, flags, workload, io);
    const answer =
      action === "rotate" ? await watchRotation(client, flags.issuer ? "issuer" : "all", io) : await client.identity();
    show(answer, flags.output, io);
    return 0;
  },
});

function show(answer: IdentityAnswer, form: string, io: Io): void {
  io.stdout.write(form === "json" ? json(identityJson(answer)) : identityText(answer));
}

async function token(
  client: ControlClient,
  flags: FlagValues<typeof FLAGS>,
  workload: string | undefined,
  io: Io,
): Promise<number> {
  if (workload === undefined) {
    throw new UsageError("identity token: for which workload?", "Name it: heddle identity token price-1");
  }
  const subject = {
    namespace: parseLabel("--namespace", flags.namespace ?? "default"),
    serviceAccount: parseLabel("--service-account", flags["service-account"] ?? workload),
    workload: parseLabel("WORKLOAD", workload),
  };
  const made = await client.joinToken(subject);
  const { namespace, serviceAccount, workload: name } = subject;
  const row = { namespace, service_account: serviceAccount, workload: name, trust_domain: made.trustDomain };
  io.stdout.write(flags.output === "json" ? json({ ...row, token: made.token }) : `${made.token}\n`);
  return 0;
}

/** @throws UsageError for a flag or an argument that the action has no use for */
function mustBelong(flags: FlagValues<typeof FLAGS>, action: string, workload: string | undefined): void {
  if (flags.issuer && action !== "rotate") throw new UsageError("--issuer belongs to: heddle identity rotate");
  for (const name of ["namespace", "service-account"] as const) {
    if (flags[name] !== undefined && action !== "token") {
      throw new UsageError(`--${name} belongs to: heddle identity token WORKLOAD`);
    }
  }
  if (workload !== undefined && action !== "token") {
    throw new UsageError(`identity ${action}: takes no argument, found "${workload}"`);
  }
}
