import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { joinProof } from "../../xds/join-token.ts";
import { ProofError } from "./authority.ts";
import { JoinTokens, TOKEN_LIFETIME_MS, TOKENS_MAX } from "./join-tokens.ts";

const subject = { namespace: "shop", serviceAccount: "price", workload: "price-1" };

/** @returns what is sent as a proof */
function create(tokens: JoinTokens, of = subject): string {
  const made = tokens.create(of);
  assert.ok(made);
  return joinProof(made);
}

describe("join tokens", () => {
  it("stand for whom they were made, once", () => {
    const tokens = new JoinTokens(new VirtualClock());
    const token = create(tokens);
    assert.match(token, /^[-_A-Za-z0-9]{12}\.[-_A-Za-z0-9]{43}$/);
    assert.deepEqual(tokens.redeem(token, "price-1"), subject);
    assert.throws(() => tokens.redeem(token, "price-1"), ProofError);
  });

  it("are not guessed by their public half, and not used up by a wrong guess", () => {
    const tokens = new JoinTokens(new VirtualClock());
    const token = create(tokens);
    const [id] = token.split(".");
    for (const guess of [id ?? "", `${id}.`, `${id}.${"A".repeat(43)}`, `${token}A`, "", "."]) {
      assert.throws(() => tokens.redeem(guess, "price-1"), ProofError);
    }
    assert.deepEqual(tokens.redeem(token, "price-1"), subject);
  });

  it("are good for ten minutes", () => {
    const clock = new VirtualClock();
    const tokens = new JoinTokens(clock);
    const [first, second] = [create(tokens), create(tokens)];
    clock.advance(TOKEN_LIFETIME_MS - 1);
    assert.deepEqual(tokens.redeem(first, "price-1"), subject);
    clock.advance(1);
    assert.throws(() => tokens.redeem(second, "price-1"), ProofError);
    assert.equal(tokens.size, 0);
  });

  it("are no more than so many, until some are used or expire", () => {
    const clock = new VirtualClock();
    const tokens = new JoinTokens(clock);
    const first = create(tokens);
    for (let count = 1; count < TOKENS_MAX; count++) assert.ok(tokens.create(subject));
    assert.equal(tokens.create(subject), undefined);
    tokens.redeem(first, "price-1");
    assert.ok(tokens.create(subject));
    assert.equal(tokens.create(subject), undefined);
    clock.advance(TOKEN_LIFETIME_MS);
    assert.ok(tokens.create(subject));
    assert.equal(tokens.size, 1);
  });
});
