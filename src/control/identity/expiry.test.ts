import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { recordingLogger } from "../testing/logger.ts";
import { Authority } from "./authority.ts";
import { makeIssuer, makeRoot } from "./certificates.ts";
import { LOOK_AT_EXPIRY_EVERY_MS, warnOfExpiry } from "./expiry.ts";

const DAY_MS = 86_400_000;

describe("expiry", () => {
  it("is told in time: a warning at 30 days, an error at 7, until it is over", async () => {
    const start = Date.now();
    const root = await makeRoot({ notBefore: start, notAfter: start + 60 * DAY_MS });
    const issuer = {
      ...(await makeIssuer(root, { notBefore: start, notAfter: start + 31 * DAY_MS })),
      intermediates: [],
    };
    const clock = new VirtualClock();
    const now = (): number => start + clock.now();
    const state = { roots: [root.certificate], issuer, crosses: [], retired: [], goal: undefined };
    const authority = new Authority({ trustDomain: "cluster.local", lifetimeMs: DAY_MS, now, state });
    const { logger, lines } = recordingLogger();
    const end = warnOfExpiry(authority, clock, now, logger);
    assert.deepEqual(lines, []);

    clock.advance(1.5 * DAY_MS);
    const warned = lines.length;
    assert.ok(warned > 0);
    assert.match(lines[0] ?? "", /WARN .*the issuer certificate of the mesh expires soon .*rotate --issuer/);
    clock.advance(LOOK_AT_EXPIRY_EVERY_MS);
    assert.equal(lines.length, warned + 1);

    clock.advance(23 * DAY_MS);
    assert.match(lines.at(-1) ?? "", /ERROR .*the issuer certificate of the mesh expires within days/);
    clock.advance(7 * DAY_MS);
    const last = lines.slice(-2).join("");
    assert.match(last, /the issuer certificate of the mesh has expired/);
    assert.match(last, /WARN .*the root certificate of the mesh expires soon .*change="heddle identity rotate"/);
    end();
    assert.equal(clock.pending, 0);
  });
});
