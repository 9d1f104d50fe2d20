import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, it, type TestContext } from "node:test";

import { ANY_PORT, sidecar } from "../../../test/support/mesh.ts";
import type { SocketAddress, UpstreamConfig } from "../config.ts";
import { ListenError } from "../listener.ts";
import { reserveAddresses } from "./addresses.ts";

async function listen(context: TestContext, address: SocketAddress, reusePort: boolean): Promise<net.Server> {
  const server = net.createServer().listen({ ...address, reusePort });
  context.after(() => server.close());
  await once(server, "listening");
  return server;
}

function upstream(address: SocketAddress): UpstreamConfig {
  return { authority: "price", listen: address };
}

describe("reserveAddresses", () => {
  it("makes each port 0 one free port, on which several can then listen and nobody is answered yet", async (context) => {
    const inbound = { listen: ANY_PORT, target: ANY_PORT, service: "price", port: 80, protocol: "http" as const };
    const given = sidecar("a", { outbound: ANY_PORT, upstreams: [upstream(ANY_PORT)], inbound: [inbound, inbound] });
    const { config, release } = reserveAddresses(given);
    context.after(release);
    const listens = [config.outbound, config.upstreams[0]?.listen, ...config.inbound.map((one) => one.listen)];
    assert.equal(new Set(listens.map((address) => address?.port)).size, 4);
    for (const address of listens) {
      assert.ok(address !== undefined && address.port > 0);
      await assert.rejects(once(net.connect(address.port, address.host), "connect"), { code: "ECONNREFUSED" });
      for (let worker = 0; worker < 2; worker++) await listen(context, address, true);
    }
    assert.equal(config.inbound[0]?.service, "price");
  });

  for (const reusePort of [false, true]) {
    it(`refuses an address at which somebody listens, ${reusePort ? "even one who shares it" : "alone"}`, async (context) => {
      const server = await listen(context, ANY_PORT, reusePort);
      const { port } = server.address() as net.AddressInfo;
      const config = sidecar("a", { outbound: { host: "127.0.0.1", port } });
      assert.throws(() => reserveAddresses(config), {
        name: "ListenError",
        code: "EADDRINUSE",
        message: `cannot listen on 127.0.0.1:${port}: another process listens there already; stop it or choose another address`,
      });
    });
  }

  it("refuses the same address twice, also behind a wildcard, and lets go of what it had", async (context) => {
    const { config, release } = reserveAddresses(sidecar("a", { outbound: ANY_PORT }));
    release();
    const address = config.outbound as SocketAddress;
    for (const host of [address.host, "0.0.0.0", "::"]) {
      const twice = sidecar("a", { outbound: address, upstreams: [upstream({ host, port: address.port })] });
      assert.throws(() => reserveAddresses(twice), ListenError);
    }
    await listen(context, address, false);
  });

  it("says that an address is not one of this machine", () => {
    const config = sidecar("a", { outbound: { host: "192.0.2.1", port: 0 } });
    assert.throws(() => reserveAddresses(config), { message: /this machine has no such address/ });
  });
});
