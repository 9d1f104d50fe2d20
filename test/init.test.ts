/** `heddle init` in namespaces: rules in force, replaced, and gone again. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";

import type { Namespace } from "../src/cli/up/transparent/namespace.ts";
import { namespace, needsRoot, outputIn } from "./support/namespaces.ts";
import { heddle } from "./support/up.ts";

const command = [process.execPath, heddle, "init"];

/** A PATH with iptables and without nft. */
function withoutNft(context: TestContext): string[] {
  const folder = mkdtempSync(join(tmpdir(), "heddle-no-nft-"));
  context.after(() => rmSync(folder, { recursive: true }));
  for (const family of ["iptables", "ip6tables"]) {
    for (const tool of [family, `${family}-save`, `${family}-restore`]) {
      const path = execFileSync("/bin/sh", ["-c", `command -v ${tool}`])
        .toString()
        .trim();
      symlinkSync(path, join(folder, tool));
    }
  }
  return ["env", `PATH=${folder}`];
}

async function natRules(place: Namespace): Promise<string> {
  const v4 = await outputIn(place, ["iptables-save", "-t", "nat"]);
  return (v4 + (await outputIn(place, ["ip6tables-save", "-t", "nat"])))
    .split("\n")
    .filter((line) => line.includes("HEDDLE"))
    .join("\n");
}

describe("heddle init", () => {
  it("puts one table in force by nft, replaces it, and undoes it without a rest", needsRoot("nft"), async (context) => {
    const place = await namespace(context);
    await outputIn(place, ["nft", "-f", "-"], "table inet other {\n\tchain mine {\n\t}\n}\n");
    const said = await place.run(command, "");
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.stderr, /captured by nftables: .* port 4143, .* port 4140, but for user 2102/);
    const first = await outputIn(place, ["nft", "list", "table", "inet", "heddle"]);
    assert.match(first, /redirect to :4143/);
    assert.match(first, /skuid 2102 return/);
    assert.match(first, /oifname "lo" return/);
    await outputIn(place, command);
    assert.equal(
      await outputIn(place, ["nft", "list", "table", "inet", "heddle"]),
      first,
      "a second time changes nothing",
    );
    await outputIn(place, [...command, "--proxy-uid", "1337", "--subnets-to-ignore", "10.0.0.0/8"]);
    const changed = await outputIn(place, ["nft", "list", "table", "inet", "heddle"]);
    assert.match(changed, /skuid 1337 return/);
    assert.ok(!changed.includes("2102"));
    await outputIn(place, [...command, "--undo"]);
    const left = await outputIn(place, ["nft", "list", "ruleset"]);
    assert.match(left, /table inet other/, "what is not ours stays");
    assert.ok(!left.includes("heddle"));
    await outputIn(place, [...command, "--undo"]);
  });

  it("says by --dry-run what it would do, and does nothing", needsRoot("nft"), async (context) => {
    const place = await namespace(context);
    const said = await outputIn(place, [...command, "--dry-run"]);
    assert.match(said, /^# nft -f -\ntable inet heddle\ndelete table inet heddle\n/);
    assert.equal(await outputIn(place, ["nft", "list", "ruleset"]), "");
    await outputIn(place, ["nft", "-f", "-"], said);
    assert.match(
      await outputIn(place, ["nft", "list", "ruleset"]),
      /table inet heddle/,
      "what it prints is what nft takes",
    );
  });

  it("does the same by iptables where there is no nft", needsRoot("iptables", "ip6tables"), async (context) => {
    const place = await namespace(context);
    const init = [...withoutNft(context), ...command];
    const said = await place.run(init, "");
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.stderr, /captured by iptables/);
    const first = await natRules(place);
    assert.equal(first.match(/^-A PREROUTING -j HEDDLE_INBOUND$/gm)?.length, 2, "one for IPv4, one for IPv6");
    assert.match(first, /-A HEDDLE_OUTBOUND -m owner --uid-owner 2102 -j RETURN/);
    await outputIn(place, init);
    assert.equal(await natRules(place), first, "a second time changes nothing");
    await outputIn(place, [...init, "--undo"]);
    assert.equal(await natRules(place), "");
    await outputIn(place, [...init, "--undo"]);
  });

  it("takes away what iptables has left when nft comes", needsRoot("nft", "iptables", "ip6tables"), async (context) => {
    const place = await namespace(context);
    await outputIn(place, [...withoutNft(context), ...command]);
    assert.notEqual(await natRules(place), "");
    await outputIn(place, command);
    assert.equal(await natRules(place), "");
    await outputIn(place, [...command, "--undo"]);
    assert.ok(!(await outputIn(place, ["nft", "list", "ruleset"])).includes("heddle"));
  });

  it("says what is missing: the right, or the program", needsRoot("nft", "setpriv"), async (context) => {
    const place = await namespace(context);
    const user = await place.run(["setpriv", "--reuid=2102", "--clear-groups", ...command], "");
    assert.equal(user.code, 1);
    assert.match(user.stderr, /may not change the firewall .*\n.*root, or with the capabilities NET_ADMIN/);
    const none = await place.run(["env", "PATH=/nowhere", ...command], "");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /there is neither nft nor iptables\n.*Install/);
  });
});
