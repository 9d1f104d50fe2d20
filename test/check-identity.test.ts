/** `heddle check` and a certificate authority from files: certificates that end soon, that have ended, that do not fit. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";

import { type CommandResult, runCaptured } from "../src/cli/testing/captured-io.ts";
import { makeIssuer, makeRoot } from "../src/control/identity/certificates.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { output } from "./support/programs.ts";
import { until } from "./support/until.ts";
import { heddle } from "./support/up.ts";

const SLOW_MS = 60_000;

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-check-"));
});
after(() => rm(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);

const openssl = async (words: string): Promise<void> => void (await output("openssl", words.split(" ")));

/** A control plane with the authority `<name>-root.pem`, `<name>.pem`, `<name>.key`; resolves with how to check it. */
async function control(context: TestContext, name: string): Promise<() => Promise<CommandResult>> {
  const [api, xds] = await freePorts(2);
  const files = ["--identity-roots", at(`${name}-root.pem`), "--identity-issuer-cert", at(`${name}.pem`)];
  const addresses = ["--api", `127.0.0.1:${api}`, "--xds", `127.0.0.1:${xds}`];
  const words = [heddle, "control", ...addresses, ...files, "--identity-issuer-key", at(`${name}.key`)];
  const child = spawn(process.execPath, words, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const gone = once(child, "close");
  context.after(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  const check = (): Promise<CommandResult> =>
    runCaptured(["check", "--wait", "0s"], { HEDDLE_CONTROL: `127.0.0.1:${api}` });
  const answers = async (): Promise<boolean> => {
    assert.equal(child.exitCode, null, said);
    return /^√ control plane is ready$/m.test((await check()).stdout);
  };
  await until("the control plane is ready", answers, SLOW_MS);
  return check;
}

describe("heddle check of an authority from files", { timeout: 180_000 }, () => {
  it(
    "warns of an issuer with ten days left, and fails for files that are no good",
    needs("openssl"),
    async (context) => {
      const key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
      await openssl(
        `req -x509 ${key} -days 400 -subj /CN=root -keyout ${at("ten-root.key")} -out ${at("ten-root.pem")}`,
      );
      await openssl(`req ${key} -subj /CN=issuer -keyout ${at("ten.key")} -out ${at("ten.csr")}`);
      await writeFile(at("ca.ext"), "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n");
      const signer = `-CA ${at("ten-root.pem")} -CAkey ${at("ten-root.key")} -CAcreateserial`;
      await openssl(`x509 -req -in ${at("ten.csr")} ${signer} -days 10 -extfile ${at("ca.ext")} -out ${at("ten.pem")}`);
      const check = await control(context, "ten");
      const { code, stdout } = await check();
      assert.equal(code, 0, stdout);
      assert.match(
        stdout,
        /^‼ issuer cert is valid for at least 60 days\n {4}CN=issuer \(\w{16}\) expires in 9 days, at /m,
      );
      assert.match(stdout, /^√ trust anchors are valid for at least 60 days$/m);
      assert.match(stdout, /^√ issuer cert is issued by the trust anchor$/m);
      assert.match(stdout, /^‼ certificate authority survives a restart$/m);
      assert.ok(stdout.endsWith("Status check results are √\n"));

      const good = await readFile(at("ten.pem"));
      await writeFile(at("ten.pem"), "nonsense");
      let found: CommandResult | undefined;
      await until("the file is found bad", async () => (found = await check()).code === 1, SLOW_MS);
      assert.match(
        found?.stdout ?? "",
        /^× certificate config is valid\n {4}\S+\/ten\.pem: expected certificates in PEM, found none\n {4}what the files said before stays in force$/m,
      );
      await writeFile(at("ten.pem"), good);
      await until("the file is found good", async () => (await check()).code === 0, SLOW_MS);
    },
  );

  it("fails when the root has expired", async (context) => {
    const validity = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 8_000 };
    const root = await makeRoot(validity);
    const issuer = await makeIssuer(root, { ...validity, notAfter: Date.now() + 3_600_000 });
    await writeFile(at("short-root.pem"), root.certificate);
    await writeFile(at("short.pem"), issuer.certificate);
    await writeFile(at("short.key"), issuer.key, { mode: 0o600 });
    const check = await control(context, "short");
    let found: CommandResult | undefined;
    await until("it has expired", async () => (found = await check()).code === 1, SLOW_MS);
    assert.match(
      found?.stdout ?? "",
      /^× trust anchors are within their validity period\n {4}O=heddle, CN=heddle root \w+ \(\w{16}\) has expired at /m,
    );
    assert.match(found?.stdout ?? "", /^√ issuer cert is within its validity period$/m);
  });
});
