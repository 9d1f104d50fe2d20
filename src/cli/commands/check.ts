import { systemClock } from "../../net/clock.ts";
import { DATA_PLANE, MESH, PRE } from "../check/categories.ts";
import type { Category } from "../check/check.ts";
import { type Machine, ownLimits } from "../check/machine.ts";
import { type Report, REPORT_FORMS, reportOf } from "../check/report.ts";
import { runChecks } from "../check/run-checks.ts";
import { World } from "../check/world.ts";
import { defineCommand, type FlagValues } from "../command.ts";
import { CONTROL_FLAG, ControlClient } from "../control-client.ts";
import { EXIT_FAILURE, UsageError } from "../errors.ts";
import { runHere } from "../init/firewall.ts";
import type { Io } from "../io.ts";
import { LiveText } from "../live-text.ts";
import { painter, printable } from "../output.ts";
import { ADDRESS_FLAGS } from "../up/addresses.ts";
import { isFree } from "../up/ports.ts";
import { networkProbe } from "../up/readiness.ts";
import { parseAddress, parseDuration, parseLabel } from "../values.ts";
import { ownVersion } from "./version.ts";

/** Milliseconds between two turns of the spinner. */
const SPIN_EVERY_MS = 100;
const SPINNER = "/-\\|";

const FLAGS = {
  pre: { type: "boolean", help: "Only this machine: whether a mesh could run here. Asks no control plane" },
  proxy: { type: "boolean", help: "Only the data plane: the sidecars and their certificates" },
  namespace: { type: "string", short: "n", value: "NAME", help: "Namespace of the sidecars (default: all)" },
  output: { type: "string", short: "o", choices: REPORT_FORMS, default: "table", help: "Form of the output" },
  wait: {
    type: "string",
    value: "DURATION",
    default: "5s",
    help: "How long to ask again what may still come true by itself, 0s to 1h",
  },
  ...CONTROL_FLAG,
} as const;

export const check = defineCommand({
  name: "check",
  description: `Checks a running mesh: the control plane, whether everything that was written is in force, the certificate authority, and
the sidecars: connected, ready, certified, of the right version, and content with what they were sent. Warnings (‼) are
no failures. Exits 1 if a check fails (×). What each check means, and what to do, is in docs/check.md.`,
  flags: FLAGS,
  examples: [
    { does: "The whole mesh", line: "heddle check" },
    { does: "In a script, after a start: until all is well, for two minutes at most", line: "heddle check --wait 2m" },
    { does: "Only what is wrong, with the sidecars of one namespace", line: "heddle check --proxy -n shop -o short" },
    { does: "Before the first mesh on a machine", line: "heddle check --pre" },
  ],
  async run({ flags, io }) {
    const waitMs = parseDuration("--wait", flags.wait, ["0s", "1h"]);
    const namespace = flags.namespace === undefined ? undefined : parseLabel("--namespace", flags.namespace);
    const report = reportOf(flags.output as (typeof REPORT_FORMS)[number], io.stdout, painter(io.stdout, io));
    if (flags.pre) {
      mustStandAlone(flags);
      return runAll(PRE, () => machineOf(io), { report, waitMs: 0, io });
    }
    const client = ControlClient.from(flags.control, io);
    const version = ownVersion();
    const look = (): World => new World({ client, namespace, version, now: Date.now, accepts });
    return runAll(flags.proxy ? DATA_PLANE : MESH, look, { report, waitMs, io });
  },
});

function accepts(address: string): Promise<boolean> {
  return networkProbe.accepts(parseAddress("xds", address));
}

async function runAll<Subject>(
  categories: readonly Category<Subject>[],
  look: () => Subject,
  { report, waitMs, io }: { readonly report: Report; readonly waitMs: number; readonly io: Io },
): Promise<number> {
  const spinner = new Spinner(io);
  const success = await runChecks(categories, {
    look,
    clock: systemClock,
    waitMs,
    onResult(result) {
      spinner.stop();
      report.add(result);
    },
    onRetry: (description, [problem = ""]) => spinner.show(`${description}: ${printable(problem)}`),
  });
  report.end(success);
  return success ? 0 : EXIT_FAILURE;
}

/** Shows on a terminal what is waited for. */
class Spinner {
  readonly #live: LiveText | undefined;
  #text = "";
  #turns = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ stderr }: Io) {
    if (stderr.isTTY === true) this.#live = new LiveText(stderr);
  }

  show(text: string): void {
    const live = this.#live;
    if (live === undefined) return;
    this.#text = text;
    const turn = (): void => live.show(`${SPINNER[this.#turns++ % SPINNER.length]} ${this.#text}\n`);
    this.#timer ??= setInterval(turn, SPIN_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#live?.clear();
  }
}

function machineOf({ directory }: Io): Machine {
  const addresses = Object.entries(ADDRESS_FLAGS).map(([flag, { default: text }]) => {
    return { flag, address: parseAddress(`--${flag}`, text) };
  });
  return { directory, addresses, isFree, run: runHere, uid: process.getuid?.(), limits: ownLimits };
}

/** @throws UsageError for a flag that says something about a running mesh */
function mustStandAlone(flags: FlagValues<typeof FLAGS>): void {
  const surplus = (["proxy", "namespace", "control"] as const).find((name) => flags[name]);
  if (surplus !== undefined) throw new UsageError(`--pre asks no control plane, so it takes no --${surplus}`);
}
