import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { CROSSES_MAX, EMBEDDED_FILE, EmbeddedAuthority, ROOT_LIFETIME_MS } from "./embedded.ts";
import type { TrustState } from "./trust-state.ts";

const DAY_MS = 86_400_000;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-embedded-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A rotation from its begin to its end, without the sidecars. */
async function rotate(authority: EmbeddedAuthority): Promise<TrustState> {
  const goal = await authority.goal("all");
  await authority.save({ ...authority.trust, goal: { ...goal, phase: "trust", startedAt: 0 } });
  await authority.save({ ...goal, retired: [], goal: undefined });
  return authority.trust;
}

function lead(upper: string, lower: string | undefined): boolean {
  const [one, by] = [new X509Certificate(upper), new X509Certificate(lower ?? "")];
  return one.checkIssued(by) && one.verify(by.publicKey);
}

describe("roots certified by those before them", () => {
  it("form a chain from the newest to the oldest, which a restart does not break", async () => {
    let authority = await EmbeddedAuthority.open(folder, Date.now);
    const roots = [...authority.trust.roots];
    for (let times = 1; times <= CROSSES_MAX + 1; times++) {
      const { crosses, roots: now } = await rotate(authority);
      roots.unshift(...now);
      assert.equal(crosses.length, Math.min(times, CROSSES_MAX));
      for (const [index, cross] of crosses.entries()) {
        assert.ok(lead(cross, roots[index + 1]));
        assert.ok(new X509Certificate(cross).publicKey.equals(new X509Certificate(roots[index] ?? "").publicKey));
      }
      authority = await EmbeddedAuthority.open(folder, Date.now);
      assert.deepEqual(authority.trust.crosses, crosses);
    }
  });

  it("stay when only the issuer changes", async () => {
    const authority = await EmbeddedAuthority.open(folder, Date.now);
    const { crosses } = await rotate(authority);
    assert.deepEqual((await authority.goal("issuer")).crosses, crosses);
  });

  it("are good no longer than the root that certified them, and are dropped then", async () => {
    let now = Date.now();
    const authority = await EmbeddedAuthority.open(folder, () => now);
    const [first = ""] = authority.trust.roots;
    now += ROOT_LIFETIME_MS - DAY_MS;
    const { crosses } = await rotate(authority);
    const end = new X509Certificate(first).validToDate.getTime();
    assert.equal(new X509Certificate(crosses[0] ?? "").validToDate.getTime(), end);
    now = end + DAY_MS;
    const next = await authority.goal("all");
    assert.equal(next.crosses.length, 1);
    assert.notEqual(next.crosses[0], crosses[0]);
  });

  it("are not there after a root that has expired", async () => {
    let now = Date.now();
    const authority = await EmbeddedAuthority.open(folder, () => now);
    now += ROOT_LIFETIME_MS + DAY_MS;
    assert.deepEqual((await authority.goal("all")).crosses, []);
  });

  it("are missing in a state folder from before there were any, and refused if they are no certificates", async () => {
    const file = join(folder, EMBEDDED_FILE);
    await EmbeddedAuthority.open(folder, Date.now);
    const stored = JSON.parse(await readFile(file, "utf8")) as { trust: Record<string, unknown> };
    const { crosses: _, ...older } = stored.trust;
    await writeFile(file, JSON.stringify({ ...stored, trust: older }));
    assert.deepEqual((await EmbeddedAuthority.open(folder, Date.now)).trust.crosses, []);
    await writeFile(file, JSON.stringify({ ...stored, trust: { ...older, crosses: ["no certificate"] } }));
    await assert.rejects(EmbeddedAuthority.open(folder, Date.now), /identity\.json is not readable/);
  });
});
