import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import type { Ran } from "../init/firewall.ts";
import { isFree } from "../up/ports.ts";
import { type Machine, OPEN_FILES_MIN, ownLimits, preSetup } from "./machine.ts";

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "heddle-machine-"));
});
after(() => rm(directory, { recursive: true }));

const there: Ran = { code: 0, stdout: "", stderr: "", missing: false };
const missing: Ran = { code: null, stdout: "", stderr: "", missing: true };

/** A machine on which some programs are not there. */
const without =
  (...programs: string[]) =>
  async ([program = ""]: readonly string[]): Promise<Ran> =>
    programs.includes(program) ? missing : there;

const limits = (most: string) => () =>
  `Max processes  1  2  processes\nMax open files            64      ${most}     files\n`;

function machine(over: Partial<Machine> = {}): Machine {
  return { directory, addresses: [], isFree, run: without(), uid: 0, limits: ownLimits, ...over };
}

async function problemsOf(description: string, over: Partial<Machine> = {}): Promise<readonly string[]> {
  const check = preSetup.checks.find((one) => one.description === description);
  assert.ok(check, description);
  return check.problems(machine(over));
}

describe("heddle check --pre", () => {
  it("finds who listens where a mesh would", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const addresses = [{ flag: "api", address: { host: "127.0.0.1", port } }];
    const taken = await problemsOf("default addresses are free", { addresses });
    assert.deepEqual(taken, [`something listens on 127.0.0.1:${port} (heddle up --api)`]);
    server.close();
    await once(server, "close");
    assert.deepEqual(await problemsOf("default addresses are free", { addresses }), []);
  });

  it("finds a state folder whose keys others can read", async () => {
    assert.deepEqual(await problemsOf("state folder can be used"), [], "there is none");
    await mkdir(join(directory, ".heddle"));
    const file = join(directory, ".heddle", "identity.json");
    await writeFile(file, "{}", { mode: 0o600 });
    assert.deepEqual(await problemsOf("state folder can be used"), []);
    await chmod(file, 0o644);
    const [problem = ""] = await problemsOf("state folder can be used");
    assert.match(problem, /others than its owner can reach it \(mode 0644\): chmod 600 /);
  });

  it("finds a limit of open files that is too low", async () => {
    assert.deepEqual(await problemsOf("open-file limit is enough", { limits: limits(`${OPEN_FILES_MIN}`) }), []);
    assert.deepEqual(await problemsOf("open-file limit is enough", { limits: limits("unlimited") }), []);
    assert.deepEqual(await problemsOf("open-file limit is enough", { limits: () => "" }), []);
    assert.deepEqual(await problemsOf("open-file limit is enough", { limits: limits("1024") }), [
      "a process may have 1024 files and sockets open; expected at least 4096",
    ]);
    assert.match(ownLimits(), /^Max open files +\d+ +(\d+|unlimited)/m);
  });

  it("finds what capture takes and is not there", async () => {
    assert.deepEqual(await problemsOf("connections can be captured"), []);
    assert.deepEqual(await problemsOf("connections can be captured", { run: without("nft") }), [], "there is iptables");
    assert.deepEqual(
      await problemsOf("connections can be captured", { run: without("nft", "iptables", "ip"), uid: 1000 }),
      [
        "this user is not root, so --transparent and heddle init are not for it",
        "there is no program ip",
        "there is neither nft nor iptables",
      ],
    );
  });
});
