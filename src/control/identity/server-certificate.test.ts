import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { afterEach, describe, it } from "node:test";

import { until } from "../../../test/support/until.ts";
import type { Credentials } from "../../net/credentials.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { recordingLogger } from "../testing/logger.ts";
import { Authority } from "./authority.ts";
import { makeCross, makeIssuer, makeRoot } from "./certificates.ts";
import { LOOK_AT_WALL_CLOCK_EVERY_MS, RENEW_LEAST_MS, ServerCertificate } from "./server-certificate.ts";
import type { TrustState } from "./trust-state.ts";

const HOUR_MS = 3_600_000;

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

async function trust(issuerEnds = Date.now() + 1_000 * HOUR_MS): Promise<TrustState> {
  const notBefore = Date.now() - HOUR_MS;
  const root = await makeRoot({ notBefore, notAfter: Date.now() + 1_000 * HOUR_MS });
  const issuer = { ...(await makeIssuer(root, { notBefore, notAfter: issuerEnds })), intermediates: [] };
  return { roots: [root.certificate], issuer, crosses: [], retired: [], goal: undefined };
}

async function open(state: TrustState) {
  const clock = new VirtualClock();
  const start = Date.now();
  /** Milliseconds that only the wall clock has noticed. */
  const slept = { ms: 0 };
  const now = (): number => start + clock.now() + slept.ms;
  const authority = new Authority({ trustDomain: "mesh.test", lifetimeMs: HOUR_MS, now, state });
  const { logger, lines } = recordingLogger();
  const certificate = await ServerCertificate.open({ authority, clock, now, logger });
  cleanups.push(() => certificate.close());
  const made: Credentials[] = [];
  certificate.watch((credentials) => made.push(credentials));
  return { certificate, authority, clock, lines, made, slept };
}

describe("the control plane's own certificate", () => {
  it("names it twice, leads to the root, and has a key of its own", async () => {
    const state = await trust();
    const { certificate } = await open(state);
    const { chain, key, identity, anchors } = certificate.current as Credentials;
    const leaf = new X509Certificate(chain);
    assert.equal(identity, "spiffe://mesh.test/ns/heddle/sa/heddle-control");
    const name = "heddle-control.heddle.serviceaccount.identity.linkerd.mesh.test";
    assert.equal(leaf.subjectAltName, `URI:${identity}, DNS:${name}`);
    assert.ok(leaf.checkPrivateKey(createPrivateKey(key)));
    assert.equal(anchors, state.roots.join(""));
    assert.equal(chain.match(/BEGIN CERTIFICATE/g)?.length, 2);
  });

  it("is renewed when most of its life is over, also on a machine that slept", async () => {
    const { certificate, clock, made, slept } = await open(await trust());
    const pass = (ms: number): void => {
      for (let left = ms; left > 0; left -= 60_000) clock.advance(Math.min(60_000, left));
    };
    pass(0.69 * HOUR_MS);
    assert.equal(made.length, 0);
    pass(0.02 * HOUR_MS);
    await until("the next", () => made.length === 1);
    assert.equal(certificate.current, made[0]);
    slept.ms = HOUR_MS;
    clock.advance(LOOK_AT_WALL_CLOCK_EVERY_MS);
    await until("one more", () => made.length === 2);
    assert.equal(clock.pending, 1);
  });

  it("is renewed at once when the issuer or the roots change, with those that certify the root", async () => {
    const before = await trust();
    const { certificate, authority, made } = await open(before);
    const root = await makeRoot({ notBefore: Date.now() - HOUR_MS, notAfter: Date.now() + HOUR_MS });
    const issuer = {
      ...(await makeIssuer(root, { notBefore: Date.now() - HOUR_MS, notAfter: Date.now() + HOUR_MS })),
      intermediates: [],
    };
    const below = await makeRoot({ notBefore: Date.now() - HOUR_MS, notAfter: Date.now() + HOUR_MS });
    const cross = await makeCross(root.certificate, below, { notBefore: Date.now(), notAfter: Date.now() + HOUR_MS });
    const ended = { notBefore: Date.now() - HOUR_MS, notAfter: Date.now() - 60_000 };
    const expired = await makeCross(root.certificate, below, ended);
    const roots = [...before.roots, root.certificate];
    authority.set({ ...before, roots });
    authority.set({ ...before, roots, issuer, crosses: [cross, expired] });
    await until("both are taken in", () => made.at(-1)?.chain.includes(issuer.certificate.trim()) === true);
    const { chain, anchors } = certificate.current as Credentials;
    assert.equal(anchors, roots.join(""));
    assert.ok(chain.endsWith(cross));
    assert.equal(chain.match(/BEGIN CERTIFICATE/g)?.length, 3);
  });

  it("stays when the authority cannot sign, which is said and tried again", async () => {
    const before = await trust();
    const { certificate, authority, lines, made, clock } = await open(before);
    const first = certificate.current;
    const broken = { ...(await trust()).issuer, key: "no key" };
    authority.set({ ...before, issuer: broken });
    await until("it is said", () => lines.some((line) => /cannot be renewed; the one before stays/.test(line)));
    assert.equal(certificate.current, first);
    const again = lines.length;
    clock.advance(LOOK_AT_WALL_CLOCK_EVERY_MS);
    await until("it is tried again", () => lines.length > again);
    authority.set(before);
    await until("a new one", () => made.length > 0);
  });

  it("of an issuer that has expired is not made again and again", async () => {
    const { clock, made } = await open(await trust(Date.now() - 60_000));
    clock.advance(RENEW_LEAST_MS - 1);
    assert.equal(made.length, 0);
    clock.advance(1);
    await until("the next", () => made.length === 1);
    assert.equal(clock.pending, 1);
  });

  it("leaves nothing behind", async () => {
    const { certificate, authority, clock, made } = await open(await trust());
    certificate.close();
    assert.equal(clock.pending, 0);
    authority.set(await trust());
    assert.equal(made.length, 0);
  });
});
