import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { TestCredentials } from "../../../test/support/identity.ts";
import type { Credentials } from "../../net/credentials.ts";
import { CredentialsRelay, RelayedCredentials } from "./credentials-relay.ts";

function credentials(key: string): Credentials {
  return { key, chain: "", anchors: "", identity: "", notBefore: 0, notAfter: 0 };
}

describe("credentials across threads", () => {
  it("arrive one after the other; a slow worker hears the newest only", () => {
    const source = new TestCredentials(credentials("1"));
    const posted: string[] = [];
    const relay = new CredentialsRelay(source, (message) => posted.push(message.credentials.key));
    for (const key of ["2", "3", "4"]) source.replace(credentials(key));
    assert.deepEqual([posted, relay.held], [["1"], false]);
    relay.heard();
    assert.equal(relay.held, true);
    assert.deepEqual(posted, ["1", "4"]);
    relay.heard();
    source.replace(credentials("5"));
    assert.deepEqual(posted, ["1", "4", "5"]);
    relay.close();
    relay.heard();
    source.replace(credentials("6"));
    assert.deepEqual(posted, ["1", "4", "5"]);
  });

  it("are told to who watches in the worker, and then acknowledged", () => {
    const events: string[] = [];
    const relayed = new RelayedCredentials(({ kind }) => events.push(kind));
    const end = relayed.watch(({ key }) => events.push(key));
    relayed.told(credentials("1"));
    end();
    relayed.told(credentials("2"));
    assert.deepEqual(events, ["1", "holding", "holding"]);
    assert.deepEqual(relayed.current, credentials("2"));
  });
});
